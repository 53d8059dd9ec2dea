"""The four formats of detections: handmade files, and detections that are written and read again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.coco_results import read_plain_coco_results
from detection.formats.detections import FORMATS, read_detections, write_detections
from detection.structures.split_columns import SplitDetections, SplitObjects
from tests.detection.formats.detection_examples import example_detections, rows_of


@pytest.mark.parametrize("file_format", FORMATS)
def test_written_detections_are_read_again(file_format: str, truth: SplitObjects, tmp_path: Path) -> None:
    detections = example_detections(truth)
    write_detections(tmp_path / "new" / "file", detections, file_format=file_format, split="val")
    again = read_detections(tmp_path / "new" / "file", truth)
    assert rows_of(again) == rows_of(detections)


@pytest.mark.parametrize("file_format", FORMATS)
def test_random_numbers_are_read_as_written(file_format: str, truth: SplitObjects, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    boxes = generator.uniform(0, 100, (200, 4)).astype(np.float32).astype(np.float64)
    scores = generator.random(200).astype(np.float32).astype(np.float64)
    detections = SplitDetections(
        truth.index, generator.integers(2, size=200), generator.integers(2, size=200), boxes, scores
    )
    write_detections(tmp_path / "file", detections, file_format=file_format, split="val")
    again = read_detections(tmp_path / "file", truth)
    np.testing.assert_allclose(rows_of(again), rows_of(detections), rtol=0, atol=1e-12)
    assert sorted(again.scores) == sorted(scores)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_files_in_other_encodings(file_format: str, encoding: str, truth: SplitObjects, tmp_path: Path) -> None:
    detections = example_detections(truth)
    write_detections(tmp_path / "file", detections, file_format=file_format, split="val")
    files = [path for path in (tmp_path, *tmp_path.glob("*"), *tmp_path.glob("file/*")) if path.is_file()]
    for path in files:
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert files
    assert rows_of(read_detections(tmp_path / "file", truth)) == rows_of(detections)


def test_pipe_is_refused(truth: SplitObjects, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe: expected a file of detections, which is read twice, got a pipe"):
        read_detections(tmp_path / "pipe", truth)


def test_no_detections_are_read_as_written(truth: SplitObjects, tmp_path: Path) -> None:
    nothing = example_detections(truth)[np.zeros(0, np.int64)]
    for file_format in ("coco", "voc", "detect"):
        write_detections(tmp_path / file_format, nothing, file_format=file_format, split="val")
        assert len(read_detections(tmp_path / file_format, truth)) == 0
    write_detections(tmp_path / "empty.txt", nothing, file_format="ilsvrc", split="val")
    for name in ("empty.txt", "empty.json"):
        (tmp_path / name).write_text("\n")
        with pytest.raises(InputError, match=rf"{name}: expected detections, got an empty file"):
            read_detections(tmp_path / name, truth)
    with pytest.raises(ValueError, match="expected a format of ilsvrc, coco, voc, detect, got 'yolo'"):
        write_detections(tmp_path / "file", nothing, file_format="yolo", split="val")


def test_ilsvrc_by_hand(truth: SplitObjects, tmp_path: Path) -> None:
    # Image 5 is the second of the list, class 2 "baby bed"; pixels 11 to 40 are 30 wide and begin at 10.
    path = tmp_path / "submission.txt"
    path.write_text("5 2 0.5 11 21 40 60\n\n7 1 0.25 1 1 1 1\n")
    found = read_detections(path, truth)
    assert rows_of(found) == [(0, 0, 0.25, 0, 0, 1, 1), (1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(path, found, file_format="ilsvrc", split="val")
    assert path.read_text() == "5 2 0.5 11 21 40 60\n7 1 0.25 1 1 1 1\n"


def test_voc_by_hand(truth: SplitObjects, tmp_path: Path) -> None:
    (tmp_path / "comp4_det_test_cat.txt").write_text("")
    (tmp_path / "comp4_det_test_baby bed.txt").write_text("000003 0.5 11 21 40 60\n")
    found = read_detections(tmp_path, truth)
    assert rows_of(found) == [(1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(tmp_path / "again", found, file_format="voc", split="test")
    assert (tmp_path / "again" / "comp4_det_test_baby bed.txt").read_text() == "000003 0.5 11 21 40 60\n"
    assert (tmp_path / "again" / "comp4_det_test_cat.txt").read_text() == ""


def test_coco_by_hand(truth: SplitObjects, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    item = {"image_id": 3, "category_id": 90, "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.5}
    path.write_text(json.dumps([item, item | {"image_id": "000012", "segmentation": {"counts": "]}, {"}}]))
    found = read_detections(path, truth)
    assert rows_of(found) == [(0, 1, 0.5, 10, 20, 30, 40), (1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(path, found[found.images == 1], file_format="coco", split="val")
    assert json.loads(path.read_text()) == [item]


def test_both_readers_of_coco_agree(truth: SplitObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    generator = np.random.default_rng(0)
    rows = generator.integers(len(example_detections(truth)), size=500)
    detections = example_detections(truth)[rows]
    write_detections(path, replace(detections, scores=generator.random(500)), file_format="coco", split="val")
    assert read_plain_coco_results(path, truth.index) is not None
    fast = read_detections(path, truth)
    monkeypatch.setattr("detection.formats.detections.read_plain_coco_results", lambda *_, **__: None)
    careful = read_detections(path, truth)
    for name in ("images", "labels", "boxes_xywh", "scores"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(careful, name))


@pytest.mark.parametrize("change", [{"score": 1.5}, {"image_id": 4}, {"category_id": 2}, {"bbox": [0, 0, -1, 1]}])
def test_only_the_careful_reader_names_a_wrong_line(
    change: dict[str, Any], truth: SplitObjects, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    item = {"image_id": 3, "category_id": 90, "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.5}
    path.write_text("[" + ",\n".join(map(json.dumps, [item, item | change])) + "]")
    assert read_plain_coco_results(path, truth.index) is None
    with pytest.raises(InputError, match=r"results\.json:2: \[1\]: expected"):
        read_detections(path, truth)


@pytest.mark.parametrize("name", ["000003", "images/000003.jpg", "/elsewhere/000003.jpg", "000003.png", "C/000003"])
def test_detect_by_hand(name: str, truth: SplitObjects, tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    item = {"class": "baby bed", "label": 77, "score": 0.5, "box": [10, 20, 40, 60]}
    others = [{"image": "000012", "detections": []}, {"image": "empty.jpg", "seconds": 1.5, "detections": []}]
    path.write_text(json.dumps([{"image": name, "detections": [item]}, *others]))
    assert rows_of(read_detections(path, truth)) == [(1, 1, 0.5, 10, 20, 30, 40)]


def test_scores_of_any_range_where_they_are_wanted(truth: SplitObjects, tmp_path: Path) -> None:
    detections = example_detections(truth)
    wide = SplitDetections(
        truth.index, detections.images, detections.labels, detections.boxes_xywh, np.array([-3.5, 0, 7, 1e5])
    )
    for file_format in FORMATS:
        write_detections(tmp_path / file_format, wide, file_format=file_format, split="val")
        assert rows_of(read_detections(tmp_path / file_format, truth, any_score=True)) == rows_of(wide)
        with pytest.raises(InputError, match="expected a score in 0-1"):
            read_detections(tmp_path / file_format, truth)
