"""The data sets and cut-out objects that `detect` writes, one format or several at once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from detection.cli import records
from detection.configuration import load_detector
from detection.datasets import COCO, YOLO, CSVTable, DataSet, PascalVOC
from detection.errors import InputError
from detection.formats.exports import csv_file
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.boxes import clip_boxes
from tests.detection.conftest import Detect, assert_one_line_each, names_in, read_json, save_image

CLASS_NAMES = ("cat", "cup", "rocket")


def all_formats(folder: Path) -> list[object]:
    """Return the options that write all formats into a folder."""
    return [
        *("--json", folder / "found.json", "--coco", folder / "coco.json", "--csv", folder / "found.csv"),
        *("--yolo", folder / "yolo", "--voc", folder / "voc", "--crops", folder / "crops"),
    ]


def data_sets(folder: Path) -> list[DataSet]:
    return [
        COCO(folder, annotations="coco.json", images=""),
        CSVTable(folder, annotations="found.csv", images=""),
        YOLO(folder / "yolo"),
        PascalVOC(folder / "voc", class_names=CLASS_NAMES),
    ]


def test_all_formats_at_once(detect: Detect, folder: Path, tmp_path: Path, detector_config: Path) -> None:
    made = tmp_path / "made"
    status, _, err = detect(folder, "--max-detections", 5, "--quiet", *all_formats(made))
    assert (status, err) == (0, "")
    detector = load_detector(detector_config)
    detector.max_detections = 5
    for data in data_sets(made):
        entries = sorted(data.read("train"), key=lambda record: record.path.name)
        assert [record.path.name for record in entries] == ["a.JPG", "b.png"]
        for record in entries:
            image = read_image(record.path)
            detections = detector(image)
            np.testing.assert_allclose(record.boxes, clip_boxes(detections.boxes, image.shape[:2]), atol=0.002)
            assert [data.class_names[label] for label in record.labels] == detections.names
    assert len(list((made / "crops").rglob("*.png"))) == 10
    assert [len(record["detections"]) for record in read_json(made / "found.json")] == [5, 5]
    assert names_in(made) == ["coco.json", "crops", "found.csv", "found.json", "voc", "yolo"]


def test_two_folders_with_pictures_of_the_same_name(detect: Detect, tmp_path: Path, photo_pixels: Image) -> None:
    first = save_image(tmp_path / "x" / "a.png", photo_pixels)
    second = save_image(tmp_path / "y" / "a.png", 255 - photo_pixels)
    made = tmp_path / "made"
    assert detect(first, second, "--max-detections", 1, "--no-image", *all_formats(made)).status == 0
    for data in data_sets(made):
        contents = {read_image(record.path).tobytes() for record in data.read("train")}
        assert contents == {photo_pixels.tobytes(), (255 - photo_pixels).tobytes()}
    assert len(list((made / "crops").rglob("*.png"))) == 2


def test_a_picture_that_cannot_be_read_is_left_out(detect: Detect, folder: Path, tmp_path: Path) -> None:
    (folder / "a.JPG").write_text("no picture")
    made = tmp_path / "made"
    status, _, err = detect(folder, "--no-image", "--quiet", *all_formats(made))
    assert status == 1
    assert_one_line_each(err, folder / "a.JPG")
    for data in data_sets(made):
        assert [record.path.name for record in data.read("train")] == ["b.png"]


def test_nothing_is_replaced_unasked(detect: Detect, photo: Path, tmp_path: Path) -> None:
    options = all_formats(tmp_path / "made")
    assert detect(photo, *options).status == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for option, target in zip(options[2::2], options[3::2], strict=True):  # all but --json
        status, out, err = detect(photo, option, target)
        assert (status, out) == (1, "")
        assert_one_line_each(err, target)
        assert "--overwrite" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert detect(photo, "--overwrite", *options).status == 0


@pytest.mark.parametrize("option", ["--coco", "--csv"])
def test_an_input_is_never_replaced(detect: Detect, photo: Path, detector_config: Path, option: str) -> None:
    for target in (photo, detector_config):
        before = target.read_bytes()
        status, _, err = detect(photo, option, target, "--overwrite")
        assert status == 1
        assert_one_line_each(err, target)
        assert target.read_bytes() == before


def test_two_options_with_the_same_target(detect: Detect, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "found"
    status, _, err = detect(photo, "--json", target, "--coco", tmp_path / "photos" / ".." / "found")
    assert status == 1
    assert "expected another target for --coco than for --json" in err
    assert not target.exists()


@pytest.mark.parametrize("option", ["--coco", "--csv", "--yolo", "--voc", "--crops"])
def test_only_records_go_to_standard_output(detect: Detect, photo: Path, option: str) -> None:
    status, out, err = detect(photo, option, "-")
    assert (status, out) == (1, "")
    assert_one_line_each(err, option)


def test_one_format_that_fails_leaves_the_others_whole(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:  # noqa: ARG001
        raise InputError(f"{path}: expected a place to write to, got: No space left on device")

    monkeypatch.setattr(csv_file, "write_atomically", fail)
    monkeypatch.setattr(records, "write_atomically", fail)
    made = tmp_path / "made"
    status, _, err = detect(folder, "--no-image", "--quiet", *all_formats(made))
    assert status == 1
    assert "expected a place to write to" in err
    assert len(json.loads((made / "coco.json").read_text())["images"]) == 2
    assert len(list(PascalVOC(made / "voc", class_names=CLASS_NAMES).read("train"))) == 2


def test_an_error_in_a_format_is_that_of_the_image(detect: Detect, folder: Path, tmp_path: Path) -> None:
    """The label file of the first picture is in the way as a folder; the second picture and the table are written."""
    (tmp_path / "yolo" / "labels" / "a.txt").mkdir(parents=True)
    status, _, err = detect(
        folder, "--no-image", "--quiet", "--overwrite", "--yolo", tmp_path / "yolo", "--csv", tmp_path / "found.csv"
    )
    assert status == 1
    assert_one_line_each(err, tmp_path / "yolo" / "labels" / "a.txt")
    assert names_in(tmp_path / "yolo" / "images") == ["b.png"]
    with (tmp_path / "found.csv").open(encoding="utf-8", newline="") as file:
        assert {row["filename"] for row in csv.DictReader(file)} == {"folder/a.JPG", "folder/b.png"}
