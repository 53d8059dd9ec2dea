"""The command `detect-calibrate-scores` on detections in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from detection.calibration import BetaCalibration
from tools.measure import calibrate_scores

IMAGES = 2000


@pytest.fixture(name="options")
def overconfident_detections(tmp_path: Path) -> list[str]:
    """Return options with one detection for each image; the probability that it is right is its score squared."""
    generator = np.random.default_rng(0)
    scores = generator.uniform(0.05, 1, IMAGES)
    lefts = np.where(generator.uniform(0, 1, IMAGES) < scores**2, 10, 60).tolist()
    numbers = range(1, IMAGES + 1)
    truth = {
        "images": [{"id": number, "width": 100, "height": 50} for number in numbers],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 10, 30, 30], "area": 900, "iscrowd": 0}
            for number in numbers
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    results = [
        {"image_id": number, "category_id": 1, "bbox": [left, 10, 30, 30], "score": score}
        for number, left, score in zip(numbers, lefts, scores.tolist(), strict=True)
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return ["--ground-truth", str(tmp_path / "truth.json"), "--detections", str(tmp_path / "results.json"),
            "--rule", "voc"]  # fmt: skip


def calibrated(options: list[str], path: Path) -> dict[str, Any]:
    assert calibrate_scores.main([*options, "--json", str(path)]) == 0
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report


def test_limited_results_go_with_their_images(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((tmp_path / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps(results[::4]))
    report = calibrated([*options, "--limit", str(IMAGES // 4)], tmp_path / "report.json")
    assert report["images"] == report["detections"] == IMAGES // 4
    assert not capsys.readouterr().err
    truth = json.loads((tmp_path / "truth.json").read_text())
    for part in ("images", "annotations"):
        truth[part] = truth[part][::4]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    assert calibrated(options, tmp_path / "cut.json") == report


def test_scores_become_shares(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = calibrated(options, tmp_path / "report.json")
    assert report["images"] == report["detections"] == IMAGES
    # The mean of s - s^2 over 0.05-1 is 0.17.
    assert report["before"]["expected_error"] == pytest.approx(0.17, abs=0.04)
    assert report["after"]["expected_error"] < 0.055  # about 100 detections a bin: 0.03 by chance alone
    for when in ("before", "after"):
        counts = [row["count"] for row in report[when]["bins"]]
        assert sum(counts) == IMAGES / 2  # the half that the calibration was not fitted on
    calibrate = BetaCalibration(**report["calibration"])
    grid = np.array([0.3, 0.6, 0.9], np.float32)
    assert np.abs(calibrate(grid, np.ones(3)) - grid**2).max() < 0.06
    printed = yaml.safe_load(capsys.readouterr().out.split("\n\n")[-1])
    assert printed["calibrate"]["class_path"] == "detection.calibration.BetaCalibration"
    assert printed["calibrate"]["init_args"] == pytest.approx(report["calibration"], rel=1e-4)
    threshold = report["best_f1"]["score_threshold"]
    assert threshold - 1e-4 < printed["score_threshold"] <= threshold
    assert 0.2 < printed["score_threshold"] < 0.6


def test_larger_boxes_are_preferred(options: list[str], tmp_path: Path) -> None:
    # Boxes take a fifth of the image, but most of those that are wrong are made half as large.
    path = tmp_path / "results.json"
    detections = json.loads(path.read_text())
    for detection in detections:
        if detection["bbox"][0] == 60 and detection["image_id"] % 4:
            detection["bbox"][2] = 15
    path.write_text(json.dumps(detections))
    plain = calibrated(options, tmp_path / "plain.json")
    assert plain["calibration"]["area"] == 0
    assert plain["mAP"]["after"] == plain["mAP"]["before"]
    fitted = calibrated([*options, "--area", "null"], tmp_path / "fitted.json")
    assert fitted["calibration"]["area"] > 10  # the small ones are all wrong
    given = calibrated([*options, "--area", "0.5"], tmp_path / "given.json")
    assert given["calibration"]["area"] == 0.5
    assert plain["mAP"]["after"] < given["mAP"]["after"] < fitted["mAP"]["after"]


def test_areas_need_the_sizes_of_images(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "truth.json"
    truth = json.loads(path.read_text())
    del truth["images"][7]["width"]
    path.write_text(json.dumps(truth))
    assert calibrate_scores.main([*options, "--area", "0.5"]) == 1
    expected = f"{path}: expected the size of every image, which --area needs, got none"
    assert capsys.readouterr().err == f"detect-calibrate-scores: {expected}\n"
    assert calibrate_scores.main(options) == 0


def test_warnings_name_the_tool(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "truth.json"
    truth = json.loads(path.read_text())
    path.write_text(json.dumps(truth | {"categories": [*truth["categories"], {"id": 2, "name": "owl"}]}))
    assert calibrate_scores.main(options) == 0
    warning = "classes without objects are left out of the mean, 1 of them: owl"
    assert capsys.readouterr().err == f"detect-calibrate-scores: warning: {warning}\n"


def test_nothing_right(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    wrong = [record | {"bbox": [60, 10, 30, 30]} for record in json.loads(path.read_text())]
    path.write_text(json.dumps(wrong))
    assert calibrate_scores.main([*options, "--json", str(tmp_path / "report.json")]) == 1
    error = capsys.readouterr().err
    assert f"detect-calibrate-scores: {path}: expected right and wrong detections, got 0 right ones" in error
    assert not (tmp_path / "report.json").exists()


def test_missing_file(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.json").unlink()
    assert calibrate_scores.main(options) == 1
    assert capsys.readouterr().err.startswith(f"detect-calibrate-scores: {tmp_path / 'results.json'}: expected")
