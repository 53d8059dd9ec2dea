"""The action `detect-evaluate run`: detections are kept, an interrupted run goes on, and wrong results are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from detection.formats.run_results import NAME, ResultsWriter, StoredResult, read_results
from tests.tools.measure.evaluate.conftest import KilledError, report_of
from tools.measure.evaluate import command as evaluate
from tools.measure.evaluate import run as evaluate_run
from tools.report.score_report import build_report

IMAGES = 12


def only_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "evaluation").iterdir()
    return folder


def test_detects_once_and_scores_again(options: list[str], detected: list[int], tmp_path: Path) -> None:
    first = report_of(options, tmp_path / "a.json")
    assert sum(detected) == first["images"] == first["objects"] == IMAGES
    assert first["proposals_per_image"] == first["coverage"] == 1
    assert first["rule"] == "voc"
    assert 0 < first["mAP"] <= 1
    assert set(first["AP"]) == {"cat", "cup", "rocket"}
    again = report_of(options, tmp_path / "b.json")
    assert again == first
    assert report_of(options, tmp_path / "c.json", "--rule", "coco")["rule"] == "coco"
    assert sum(detected) == IMAGES


@pytest.mark.parametrize("named", ["{}", "{}/detector.yaml"])
def test_a_detector_with_weights_beside_its_file(
    named: str, options: list[str], config: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    """`--detector` takes a folder such as `detect-export` writes, or the file in it."""
    expected = report_of(options, tmp_path / "a.json")
    folder = tmp_path / "detector"
    folder.mkdir()
    shutil.copy(tiny_weights, folder / "mine.safetensors")
    settings = yaml.safe_load(config.read_text())["detector"]
    settings["classify"]["init_args"]["weights"] = "mine.safetensors"
    (folder / "detector.yaml").write_text(yaml.safe_dump(settings))
    found = report_of([*options, "--detector", named.format(folder)], tmp_path / "b.json")
    assert found["mAP"] == expected["mAP"]
    assert found["source"] != expected["source"]  # nothing was kept from the first run


@pytest.mark.parametrize("joint", [" ", "="])
def test_the_detector_of_a_folder_is_not_ignored(
    joint: str, config: Path, tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of detect-train has two files; `run` would read only training.yaml, which names another detector."""
    settings = yaml.safe_load(config.read_text())
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(settings | {"output": str(tmp_path / "run")}))
    (tmp_path / "detector.yaml").write_text(yaml.safe_dump(settings["detector"]))
    options = ["run", *f"--config{joint}{tmp_path}".split(), "--data", str(tiny_images), "--resamples", "20"]
    assert evaluate.main(options) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"detect-evaluate: {tmp_path}: expected a file of options, got a detector")
    assert f"`detect-evaluate DATA --config {tmp_path}`, or add `--detector {tmp_path}`" in error
    assert evaluate.main([*options, "--detector", str(tmp_path)]) == 0


def test_the_file_of_a_detector_is_no_experiment(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(config.read_text())["detector"]))
    for name in (str(path), "ensemble.yaml"):
        assert evaluate.main(["run", "--config", name, "--data", str(tmp_path)]) == 1
        assert f"{name}: expected a file of options, got a detector" in capsys.readouterr().err


def test_done_needs_no_detector(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = report_of(options, tmp_path / "a.json")

    def no_detector(*_: Any, **__: Any) -> None:
        raise KilledError

    monkeypatch.setattr("classifier.region_classifier.RegionClassifier.__init__", no_detector)
    assert report_of(options, tmp_path / "b.json") == first


@pytest.mark.parametrize("killed_at", [0, 1, 5, IMAGES - 1])
def test_killed_run_goes_on(
    killed_at: int, options: list[str], detected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = report_of([*options, "--results", str(tmp_path / "whole")], tmp_path / "whole.json")
    monkeypatch.setattr("tools.command.image_proposals.IMAGES_AT_ONCE", 1)
    detected.clear()
    added: list[str] = []
    original = ResultsWriter.add

    def killed(self: ResultsWriter, result: StoredResult) -> None:
        if len(added) == killed_at:
            self._file.write(b"0badc0de {a line that was cut off")
            raise KilledError
        added.append(result.image_id)
        original(self, result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultsWriter, "add", killed)
        with pytest.raises(KilledError):
            evaluate.main(options)
    assert len(detected) == killed_at + 1
    resumed = report_of(options, tmp_path / "resumed.json")
    assert len(detected) == IMAGES + 1  # only the image that it was at is done again
    results = read_results(only_folder(tmp_path) / NAME)
    assert len(results.images) == IMAGES
    assert list(results.images)[:killed_at] == added
    for name in ("mAP", "AP", "recall", "detections", "mAP_interval"):
        assert resumed[name] == whole[name]


def test_limit_takes_from_what_is_there(options: list[str], detected: list[int], tmp_path: Path) -> None:
    few = report_of(options, tmp_path / "few.json", "--limit", "4")
    assert few["images"] == sum(detected) == 4
    everything = report_of(options, tmp_path / "all.json")
    assert sum(detected) == everything["images"] == IMAGES
    again = report_of(options, tmp_path / "again.json", "--limit", "4")
    assert {**again, "source": None} == {**few, "source": None}
    assert again["source"]["images"] == few["source"]["images"]


def test_page_has_the_images_of_the_split(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_of(options, tmp_path / "a.json")
    name = next(iter(read_results(only_folder(tmp_path) / NAME).images))

    def with_image(*arguments: Any, **settings: Any) -> dict[str, Any]:
        return build_report(*arguments, **settings) | {"best_images": [{"image_id": name}], "worst_images": []}

    monkeypatch.setattr(evaluate_run, "build_report", with_image)
    assert evaluate.main([*options, "--html", str(tmp_path / "page.html")]) == 0
    assert "data:image/jpeg;base64," in (tmp_path / "page.html").read_text()


def test_other_settings_have_other_folders(options: list[str], detected: list[int], tmp_path: Path) -> None:
    assert evaluate.main(options) == 0
    assert evaluate.main([*options, "--detector.nms_iou_threshold", "0.4"]) == 0
    assert sum(detected) == 2 * IMAGES
    assert len(list((tmp_path / "evaluation").iterdir())) == 2
    assert evaluate.main([*options, "--detector.classify.init_args.batch_size", "7"]) == 0  # makes no difference
    assert sum(detected) == 2 * IMAGES


def test_other_settings_are_refused_in_the_same_folder(
    options: list[str], tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [*options, "--results", str(tmp_path / "kept")]
    assert evaluate.main(kept) == 0
    other_weights = tmp_path / "other.safetensors"
    other_weights.write_bytes(tiny_weights.read_bytes())
    for option, value, reason in (
        ("--detector.nms_iou_threshold", "0.4", "expected results made with detector.nms_iou_threshold 0.4, got some"),
        ("--detector.classify.init_args.weights", str(other_weights), "made with detector.classify.init_args.weights"),
    ):
        capsys.readouterr()
        assert evaluate.main([*kept, option, value]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"detect-evaluate: {tmp_path / 'kept' / NAME}: ")
        assert reason in error


def test_same_name_for_other_weights_is_refused(
    options: list[str], tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(tiny_weights.read_bytes())
    kept = [*options, "--results", str(tmp_path / "kept"), "--detector.classify.init_args.weights", str(weights)]
    assert evaluate.main(kept) == 0
    weights.write_bytes(tiny_weights.read_bytes() + b" ")
    assert evaluate.main(kept) == 1
    assert "CRC-32" in capsys.readouterr().err


def test_data_may_move_but_not_change(
    options: list[str], copy: Path, tmp_path: Path, detected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [*options, "--results", str(tmp_path / "kept")]
    assert evaluate.main(kept) == 0
    moved = [*kept, "--data", str(copy)]
    assert evaluate.main(moved) == 0
    assert sum(detected) == IMAGES
    annotations = copy / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("63\n", "62\n", 1))
    assert evaluate.main(moved) == 1
    assert "expected results made with ground_truth_crc32" in capsys.readouterr().err


def test_runs_compare_without_their_data(options: list[str], copy: Path, tmp_path: Path) -> None:
    moved = [*options, "--data", str(copy)]
    reports = []
    for name, threshold in (("a", "0.3"), ("b", "0.9")):
        more = ["--detector.nms_iou_threshold", threshold, "--results", str(tmp_path / name)]
        reports.append(report_of(moved, tmp_path / f"{name}.json", *more))
    shutil.rmtree(copy)
    command = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "20"]
    assert evaluate.main([*command, "--json", str(tmp_path / "x.json")]) == 0
    comparison = json.loads((tmp_path / "x.json").read_text())
    assert comparison["mAP"] == [report["mAP"] for report in reports]
    assert comparison["rule"] == "voc"
    # The file that the user names counts for a run too, and not the one in its folder.
    truth = json.loads((tmp_path / "a" / "ground_truth.json").read_text())
    truth["annotations"] = truth["annotations"][:5]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    command += ["--ground-truth", str(tmp_path / "truth.json"), "--json", str(tmp_path / "y.json")]
    assert evaluate.main(command) == 0
    other = json.loads((tmp_path / "y.json").read_text())
    assert other["rule"] == "voc"
    assert other["mAP"] != comparison["mAP"]


def test_partial_runs_compare_on_what_both_have(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, limit in (("a", "4"), ("b", "4"), ("c", "6")):
        assert evaluate.main([*options, "--results", str(tmp_path / name), "--limit", limit]) == 0
    assert evaluate.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "on 4 images" in capsys.readouterr().out
    assert evaluate.main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 1
    assert "expected two results on the same images" in capsys.readouterr().err


def test_results_score_as_a_file(options: list[str], tmp_path: Path) -> None:
    report = report_of(options, tmp_path / "a.json", "--results", str(tmp_path / "kept"))
    command = ["score", "--rule", "voc", "--ground-truth", str(tmp_path / "kept" / "ground_truth.json")]
    scored = report_of([*command, "--detections", str(tmp_path / "kept")], tmp_path / "b.json", "--resamples", "20")
    assert scored["AP"] == report["AP"]
    assert scored["mAP_interval"] == report["mAP_interval"]
    assert scored["errors"] == report["errors"]
