"""The actions `score`, `convert` and `compare` of `detect-evaluate`, on files."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest

from tools.measure.evaluate import command as evaluate
from tools.measure.evaluate import score as evaluate_score
from tools.report.score_report import build_report

Record = dict[str, Any]
RULES = ("ilsvrc", "voc2007", "voc", "coco")


def box_record(image: int, category: int, x: float, **more: Any) -> Record:
    return {"image_id": image, "category_id": category, "bbox": [x, 10, 40, 40], **more}


@pytest.fixture(name="truth")
def coco_ground_truth(tmp_path: Path) -> Path:
    """Write two images: a cat in each, a dog in the first, and no owl."""
    annotations = [box_record(11, 1, 0), box_record(11, 5, 100), box_record(12, 1, 50)]
    content = {
        "images": [{"id": number, "width": 200, "height": 100} for number in (11, 12)],
        "annotations": [
            {"id": row, "area": 1600, "iscrowd": 0, **annotation} for row, annotation in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "owl"}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(name="results")
def coco_results(tmp_path: Path) -> Path:
    """Write detections of cats: right at 0.9, wrong at 0.8, right at 0.7. The dog is not found."""
    found = [box_record(11, 1, 0, score=0.9), box_record(11, 1, 120, score=0.8), box_record(12, 1, 50, score=0.7)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps([*found, box_record(12, 5, 0, score=0.5)]))
    return path


def run(*options: object) -> int:
    return evaluate.main([str(option) for option in options])


def score_json(path: Path, *options: object) -> Record:
    assert run("score", *options, "--json", path, "--resamples", 20) == 0
    report: Record = json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    return report


@pytest.mark.parametrize(
    ("rule", "cat"),
    [
        ("ilsvrc", 1 / 2 + 2 / 3 / 2),
        ("voc", 1 / 2 + 2 / 3 / 2),
        ("voc2007", (6 + 5 * 2 / 3) / 11),
        ("coco", (51 + 50 * 2 / 3) / 101),
    ],
)
def test_score_by_hand(rule: str, cat: float, truth: Path, results: Path, tmp_path: Path) -> None:
    # The precision of cats is 1 up to a recall of 1/2, and 2/3 up to 1. That of dogs is 0. Owls do not count.
    report = score_json(tmp_path / "x.json", "--rule", rule, "--ground-truth", truth, "--detections", results)
    assert report["rule"] == rule
    assert report["AP"] == {"cat": pytest.approx(cat, abs=1e-9), "dog": 0, "owl": None}
    assert report["mAP"] == pytest.approx(cat / 2, abs=1e-9)
    assert report["recall"] == pytest.approx(2 / 3)
    assert (report["images"], report["objects"], report["detections"]) == (2, 3, 4)
    assert report["objects_by_class"] == {"cat": 2, "dog": 1, "owl": 0}
    low, high = report["mAP_interval"]
    assert 0 <= low <= report["mAP"] + 1e-9
    assert report["mAP"] - 1e-9 <= high <= 1
    assert report["AP_interval"]["owl"] == [None, None]
    assert report["warnings"] == ["classes without objects are left out of the mean, 1 of them: owl"]


def test_coco_has_its_rule_by_default(
    truth: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = score_json(tmp_path / "x.json", "--ground-truth", truth, "--detections", results)
    assert report["rule"] == "coco"
    assert report["details"]["AP50"] == pytest.approx(report["mAP"], abs=1e-9)
    assert report["details"]["AP_small"] is None
    output = capsys.readouterr()
    assert "mAP (coco): 0.41" in output.out
    assert output.err == "detect-evaluate: warning: classes without objects are left out of the mean, 1 of them: owl\n"


@pytest.mark.parametrize(("options", "started"), [([], 1), (["--rule", "coco"], 1), (["--rule", "voc"], 0)])
def test_a_second_process_imports_the_loops_of_cocos_rule(
    options: list[str], started: int, truth: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Mock(return_value=nullcontext())
    monkeypatch.setattr(evaluate_score, "available_cores", lambda: 2)
    monkeypatch.setattr(evaluate_score, "compiled_process", process)
    assert run("score", "--ground-truth", truth, "--detections", results, *options) == 0
    assert process.call_count == started


@pytest.mark.parametrize("file_format", ["ilsvrc", "coco", "voc", "detect"])
@pytest.mark.parametrize("rule", RULES)
def test_score_is_the_same_from_every_format(
    file_format: str, rule: str, truth: Path, results: Path, tmp_path: Path
) -> None:
    converted = tmp_path / "converted"
    given = ["--ground-truth", truth, "--detections"]
    assert run("convert", *given, results, "--to", file_format, "--output", converted) == 0
    expected = score_json(tmp_path / "a.json", "--rule", rule, *given, results)
    found = score_json(tmp_path / "b.json", "--rule", rule, *given, converted)
    assert found["AP"] == expected["AP"]


def test_converting_again(truth: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the format of `detect --json` shows who wrote it."""
    for file_format, status in (("detect", 0), ("coco", 1)):
        output = tmp_path / f"{file_format}.json"
        options = ["--ground-truth", truth, "--detections", results, "--to", file_format, "--output", output]
        assert run("convert", *options) == 0
        capsys.readouterr()
        assert run("convert", *options) == status
    expected = f"{output}: expected a new file, but this file exists; choose another name or use --overwrite"
    assert expected in capsys.readouterr().err


def test_folder_of_a_data_set(
    tmp_path: Path, write_xml: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lists = tmp_path / "VOC2007" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("000001\n")
    objects = [("dog", (1, 1, 40, 40)), ("dog", (101, 1, 140, 40), "<difficult>1</difficult>")]
    write_xml(tmp_path / "VOC2007" / "Annotations" / "000001.xml", objects)
    results = tmp_path / "results.json"
    found = [{"image_id": 1, "category_id": 12, "bbox": [x, 0, 40, 40], "score": 0.5} for x in (100, 0)]
    results.write_text(json.dumps(found))
    given = ["--ground-truth", tmp_path, "--split", "test", "--detections", results]
    report = score_json(tmp_path / "x.json", "--rule", "voc2007", *given)
    assert report["AP"]["dog"] == 1
    assert report["objects"] == 1
    by_reader = score_json(
        tmp_path / "y.json", "--dataset", "detection.datasets.PascalVOC", "--dataset.year", 2007, *given
    )
    assert (by_reader["rule"], by_reader["AP"]) == ("voc2007", report["AP"])
    assert run("score", *given) == 1
    assert "expected --rule or --dataset to tell how to read the folder" in capsys.readouterr().err


def test_blacklist(truth: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # If cats in the first image do not count, the detection at 0.7 is right and no other comes before it.
    blacklist = tmp_path / "blacklist.txt"
    blacklist.write_text("1 cat\n")
    given = ["--rule", "ilsvrc", "--ground-truth", truth, "--detections", results, "--blacklist", blacklist]
    report = score_json(tmp_path / "x.json", *given)
    assert report["AP"]["cat"] == 1
    assert report["objects_by_class"]["cat"] == 1
    blacklist.write_text("1 cat\n3 cat\n")
    assert run("score", *given) == 1
    assert f"{blacklist}:2: expected the number of an image" in capsys.readouterr().err


def test_bad_input_is_one_line(truth: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, none = tmp_path / "bad.json", tmp_path / "none"
    bad.write_text(json.dumps([box_record(11, 1, 0, score=3)]))
    given = ["--ground-truth", truth, "--detections"]
    for options, message in (
        ([*given, bad], f"detect-evaluate: {bad}:1: [0]: expected a score in 0-1, got 3; --any-score accepts others"),
        (
            ["--ground-truth", bad, "--detections", results],
            f"detect-evaluate: {bad}: expected a json object with images, annot",
        ),
        ([*given, none], f"detect-evaluate: {none}: expected a file of detections: No such file"),
        (
            [*given, results, "--split", "test"],
            "detect-evaluate: --split: expected a data set's folder as --ground-truth",
        ),
        ([*given, results, "--images", tmp_path], "detect-evaluate: --images: expected --html too"),
        ([*given, results, "--json", tmp_path], f"detect-evaluate: {tmp_path}: expected a file to write, got a folder"),
    ):
        assert run("score", *options) == 1
        error = capsys.readouterr().err
        assert error.startswith(message)
        assert error.count("\n") == 1
    assert score_json(tmp_path / "x.json", *given, bad, "--any-score")["AP"]["cat"] == pytest.approx(51 / 101)


def test_ground_truth_without_images(tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}))
    assert run("score", "--ground-truth", truth, "--detections", results) == 1
    assert f"{truth}: expected images, got none" in capsys.readouterr().err


def test_ground_truth_without_objects(truth: Path, tmp_path: Path) -> None:
    truth.write_text(json.dumps(json.loads(truth.read_text()) | {"annotations": []}))
    (tmp_path / "none.json").write_text("[]")
    for rule in RULES:
        given = ["--rule", rule, "--ground-truth", truth, "--detections", tmp_path / "none.json"]
        report = score_json(tmp_path / "x.json", *given)
        assert report["mAP"] is report["recall"] is None
        assert report["mAP_interval"] == [None, None]
        assert len(report["warnings"]) == 2


def test_page_with_pictures(
    truth: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_images(*arguments: Any, **options: Any) -> Record:
        return build_report(*arguments, **options) | {"best_images": [{"image_id": name} for name in ("11", "12")]}

    monkeypatch.setattr(evaluate_score, "build_report", with_images)
    images = tmp_path / "images"
    images.mkdir()
    PIL.Image.new("RGB", (200, 100)).save(images / "11.png")
    given = ["score", "--rule", "voc", "--ground-truth", truth, "--detections", results, "--resamples", 20, "--html"]
    assert run(*given, tmp_path / "page.html", "--images", images) == 0
    page = (tmp_path / "page.html").read_text()
    assert '"mAP":0.41666' in page
    assert page.count("data:image/jpeg") == 1
    missing = f"{images / '12.bmp'}: expected a readable image, got: No such file or directory"
    assert missing in page
    assert f"detect-evaluate: warning: {missing}" in capsys.readouterr().err
    for options, message in (
        ([tmp_path], f"{tmp_path}: expected a file to write, got a folder"),
        ([tmp_path / "page.html", "--images", truth], f"{truth}: expected a folder of images"),
    ):
        assert run(*given, *options) == 1
        assert capsys.readouterr().err == f"detect-evaluate: {message}\n"


@pytest.fixture(name="better")
def better_results(results: Path, tmp_path: Path) -> Path:
    """Write detections without the wrong cat, and with the dog."""
    found = json.loads(results.read_text())
    path = tmp_path / "better.json"
    path.write_text(json.dumps([found[0], found[2], box_record(11, 5, 100, score=0.4)]))
    return path


def compare_json(path: Path, *options: object) -> Record:
    assert run("compare", *options, "--json", path, "--resamples", 50) == 0
    report: Record = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report


def test_compare_files_of_detections(
    truth: Path, results: Path, better: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [results, better, "--ground-truth", truth, "--rule", "voc"]
    report = compare_json(tmp_path / "x.json", *options)
    assert report["mAP"] == [pytest.approx(5 / 12), 1]
    assert report["difference"] == pytest.approx(7 / 12)
    assert (report["won"], report["lost"]) == (["cat", "dog"], [])
    assert "owl" not in report["classes"]
    low, high = report["interval"]
    assert low <= report["difference"] <= high
    out = capsys.readouterr().out
    assert "difference +0.5833 [" in out
    assert "2 of 4 detections of the first are also in the second; their scores differ by up to 0.0000" in out
    assert report["same"][1] == {"detections": 3, "found": 2, "largest_score_difference": 0}
    back = compare_json(tmp_path / "y.json", better, results, *options[2:])
    assert back["difference"] == -report["difference"]
    assert np.allclose(back["interval"], [-high, -low])
    assert (back["won"], back["lost"]) == ([], ["cat", "dog"])


def test_compare_by_another_rule(truth: Path, results: Path, better: Path, tmp_path: Path) -> None:
    for rule in ("ilsvrc", "coco"):
        report = compare_json(tmp_path / "x.json", results, better, "--ground-truth", truth, "--rule", rule)
        assert report["rule"] == rule
        assert report["mAP"][1] == 1


def test_compare_what_does_not_compare(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (results, tmp_path / "none.json"):
        assert run("compare", path, results) == 1
        expected = f"{path}: expected the folder of a run; for files of detections give --ground-truth, got none"
        assert capsys.readouterr().err == f"detect-evaluate: {expected}\n"


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0)])
def test_names_the_actions(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(arguments) == status
    output = capsys.readouterr()
    assert "{run,score,compare,convert}" in (output.err if status else output.out)


def test_neither_an_action_nor_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["measure"]) == 1
    assert "measure: expected a folder of data, or an action: run, score, compare" in capsys.readouterr().err
