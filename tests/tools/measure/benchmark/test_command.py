"""Each benchmark measures and prints what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from lightning.pytorch import Trainer

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from detection.configuration import load_detector
from detection.detector import Detector
from detection.image import read_image
from detection.structures.arrays import FloatArray
from proposals.whole_image import WholeImage
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark import evaluation as benchmark_evaluation
from tools.measure.benchmark import photos as benchmark_photos
from tools.measure.benchmark import proposals as benchmark_proposals
from tools.measure.benchmark import training as benchmark_training
from tools.measure.benchmark.baselines import detectors as benchmark_baselines


def test_photos_stage_by_stage_and_against_baselines(
    photo: Path, detector_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    options = ["--config", str(detector_config), "--repeat", "1", "--device", "cpu", "--sampled", "3", "--folder", "2"]
    baselines = ["--baselines", "plain", "mobilenet", "--busy", "--json", str(target)]
    assert benchmark.main(["photos", str(photo), *options, *baselines]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.pop(13) == "folder of 2 photos"
    rows = [line.split("  ")[1] for line in lines[3:]]
    assert rows[:7] == ["read", "propose", "score", "suppress", "of it warp", "warm", "busy"]
    assert rows[7:] == ["cold", "plain", "mobilenet", "in turn", "shared"]
    shares = [float(line.split()[4].rstrip("%")) for line in lines[3:7]]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert lines[11].endswith("x, scaled from 3 regions")
    (report,) = json.loads(target.read_text())["photos"]
    assert report["size"] == [120, 160]
    assert report["stages"]["of it warp"] < report["stages"]["score"]
    assert min(seconds for (seconds,) in [*report["stages"].values(), *report["baselines"].values()]) > 0


def test_detectors_in_turn(
    photo: Path, detector_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    other = tmp_path / "other.yaml"
    other.write_text(detector_config.read_text())
    options = ["--config", str(detector_config), "--against", str(other), "--repeat", "1", "--device", "cpu"]
    assert benchmark.main(["photos", str(photo), *options, "--folder", "0", "--baselines", "--json", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("detectors in turn")
    assert [line.split()[0] for line in lines[start + 1 :]] == [
        *(str(detector_config), "warm", "cold"),
        *(str(other), "warm", "cold"),
    ]
    (report,) = json.loads(target.read_text())["in_turn"]
    warm, cold = report[str(other)]["warm"], report[str(detector_config)]["cold"]
    assert 0 < warm[0] < cold[0]
    assert lines[start + 2].endswith(" 1.00x")


def test_plain_loop_finds_what_the_detector_finds(
    photo: Path, detector_config: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline must do the same work as the detector; cropping by PIL differs a little."""
    detector = load_detector(detector_config)
    classify = RegionClassifier(str(tiny_weights), device="cpu", precision="float32")
    loop = benchmark_baselines.PlainLoop(detector, [classify], sampled=10_000)
    found: list[FloatArray] = []
    original = benchmark_baselines.PlainLoop._probabilities

    def keeping(*arguments: Any) -> FloatArray:
        found.append(original(*arguments))
        return found[-1]

    monkeypatch.setattr(benchmark_baselines.PlainLoop, "_probabilities", keeping)
    assert loop(str(photo)) > 0
    image = read_image(photo)
    expected = classify([image], [detector.propose(image).boxes])[0].probabilities
    assert np.median(np.abs(np.array(found) - expected)) < 0.02
    assert np.array(found).shape == expected.shape


def test_all_networks_of_an_ensemble_are_timed(tiny_weights: Path) -> None:
    ensemble = Ensemble([str(tiny_weights)] * 3, device="cpu")
    detector = Detector(WholeImage(), ensemble)
    assert benchmark_photos.networks_of(detector) == ensemble.networks
    assert len(benchmark_baselines.PlainLoop(detector, ensemble.networks, sampled=1).networks) == 3


def test_bad_image_is_named(tmp_path: Path, detector_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jpg"
    assert benchmark.main(["photos", str(missing), "--config", str(detector_config)]) == 1
    assert str(missing) in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0)])
def test_names_the_benchmarks(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(arguments) == status
    output = capsys.readouterr()
    assert f"{{{','.join(benchmark.BENCHMARKS)}}}" in (output.err if status else output.out)


@pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")
def test_training_against_the_bare_loop(
    tiny_images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stepped = []
    original = benchmark_training.time_bare_loop

    def spy(trainer: Trainer, *arguments: Any, **options: Any) -> float:
        stepped.append(trainer.global_step)
        return original(trainer, *arguments, **options)

    monkeypatch.setattr(benchmark_training, "time_bare_loop", spy)
    options = [
        "--config",
        "configs/tiny_imagenet/tiny_imagenet.yaml",
        "--data",
        str(tiny_images),
        "--train_split",
        "val",
    ]
    options += ["--workers", "0", "--batch_size", "4", "--input_size", "32", "--trainer.accelerator", "cpu"]
    options += ["--network.init_args.width_multiplier", "0.125", "--steps", "5", "--repeat", "2"]
    assert benchmark.main(["training", *options]) == 0
    assert stepped == [benchmark_training.WARM_UP_STEPS + 5] * 2
    lines = capsys.readouterr().out.splitlines()[-4:]
    run, bare, ratio = ([float(value.rstrip("%")) for value in line.split()[-3:]] for line in lines[1:4])
    assert 0 < run[1] <= run[0] <= run[2]
    assert 0 < bare[1] <= bare[0] <= bare[2]
    assert 100 * run[1] / bare[2] <= ratio[0] + 0.1 <= 100 * run[2] / bare[1] + 0.2


def test_data_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--config", "configs/tiny_imagenet/tiny_imagenet.yaml", "--data", str(tmp_path)]
    assert benchmark.main(["training", *options]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_evaluation_against_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--images", "60", "--detections", "30", "--classes", "5", "--compared-images", "40", "--resamples", "10"]
    assert benchmark.main(["evaluation", *size, "--repeat", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "60 images, 166 objects, 1800 detections, 5 classes"
    scores = [float(line.split()[-1]) for line in lines[1:4]]
    assert [line.split()[0] for line in lines[1:4]] == ["ilsvrc", "voc2007", "voc"]
    assert all(0.1 < score < 0.9 for score in scores)
    assert lines[5].split()[0] == "analysis"
    assert lines[7].startswith("40 of the images")
    programs = ["hotcoco", "faster-coco-eval", "pycocotools"]
    rows = [line.replace("this project", "ours").split() for line in lines[9:13]]
    assert [row[0] for row in rows] == ["ours", *programs]
    for name, *cells in rows:
        assert len(cells) == 15  # number, unit and ratio
        assert (name == "ours") == (cells[2::3] == ["1.0x"] * 5)
        assert float(cells[9]) == pytest.approx(float(cells[3]) + float(cells[6]), abs=0.02)
    differences = {line.split(":")[0]: float(line.split()[-1]) for line in lines[13:]}
    assert list(differences) == programs
    assert max(differences.values()) < 1e-12


def test_program_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    size = ["--images", "5", "--detections", "3", "--classes", "2", "--resamples", "0", "--repeat", "1"]
    assert benchmark.main(["evaluation", *size]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "pycocotools: not installed; `pip install 'inception-rcnn[benchmark]'` adds it"


def test_synthetic_detections_are_as_many_as_asked_for() -> None:
    options = benchmark_evaluation.build_parser().parse_args(["--images", "50", "--detections", "7", "--classes", "3"])
    objects, detections = benchmark_evaluation.synthetic_split(options)
    assert np.bincount(detections.images).tolist() == [7] * 50
    assert len(objects) == 138
    assert set(detections.labels.tolist()) == {0, 1, 2}
    assert (detections.boxes_xywh >= 0).all()


def test_proposals_of_all_proposers(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "times.json"
    options = ["--images", str(photo), "--width", "160", "--sizes", "120", "--repeat", "3", "--json", str(file)]
    assert benchmark.main(["proposals", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = json.loads(file.read_text())["images"]
    assert [(result["name"], result["width"]) for result in results] == [(str(photo), 160), ("120x120", 120)]
    for result, (title, _, *rows, ratio) in zip(results, (lines[2:8], lines[8:]), strict=True):
        assert title.startswith(f"{result['name']}, searched at width {result['width']}")
        assert result["identical"] >= 0.95
        assert list(result["seconds"]) == ["compiled", "opencv", "multibox"]
        assert 0 < result["boxes"]["multibox"] <= 200
        medians = []
        for row, (engine, seconds) in zip(rows, result["seconds"].items(), strict=True):
            least, median, most = sorted(seconds)
            expected = [engine, f"{median:.3f}s", f"{least:.3f}s", f"{most:.3f}s", str(result["boxes"][engine])]
            assert row.split() == expected
            medians.append(median)
        assert ratio.split()[2] == f"{medians[1] / medians[0]:.1f}"


def test_mosaic_has_photos_in_their_own_resolution() -> None:
    size = 1800  # four photos make 1708 pixels in a row, 1200 in a column
    image = benchmark_proposals.mosaic(size)
    assert image.shape == (size, size, 3)
    coffee = skimage.data.coffee()  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(image[:300, 427:854], coffee[:300, :427])
    np.testing.assert_array_equal(image[300:600, :427], coffee[:300, :427])
    np.testing.assert_array_equal(image[1200:, :1708], image[:600, :1708])


def test_proposals_of_a_bad_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jpg"
    assert benchmark.main(["proposals", "--images", str(missing), "--sizes"]) == 1
    assert str(missing) in capsys.readouterr().err
