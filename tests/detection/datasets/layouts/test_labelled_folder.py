"""`LabelledFolder` reads all usable pictures and boxes, and lists each unusable one with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base as ExifTag

from detection.datasets import LabelledFolder
from detection.errors import InputError
from tests.detection.datasets.layouts import drawn_folders
from tests.detection.datasets.layouts.drawn_folders import (
    ALL,
    WRITERS,
    coco_content,
    csv_text,
    draw,
    many,
    write,
    write_coco,
    write_voc,
    write_yolo,
)


def test_class_names_that_differ_in_case_or_spaces_are_merged(tmp_path: Path) -> None:
    for index, name in enumerate(["Red cell", "red cell", "Red cell", " redcell", "dog", "A", "a"]):
        draw(tmp_path / f"{index}.jpg")
        write_voc(tmp_path / f"{index}.xml", [(name, (0, 0, 20, 20))] * 2)
    data = LabelledFolder(tmp_path)
    assert data.class_names == ("A", "Red cell", "a", "dog")
    records = [record for split in data.splits for record in data.read(split)]
    assert np.bincount(np.concatenate([record.labels for record in records])).tolist() == [2, 8, 2, 2]
    assert data.remarks[:-1] == (
        "classes 'Red cell' (4 boxes), 'red cell' (2 boxes), 'redcell' (2 boxes) differ only in case or spaces: merged "
        "into 'Red cell'",
    )


def test_splits_with_different_lists_of_classes(tmp_path: Path) -> None:
    write_coco(tmp_path / "train.json", {"a.jpg": ALL["a.jpg"]}, ["cat", "dog"])
    write_coco(tmp_path / "val.json", {"d.jpg": [("Cat", (4, 6, 44, 51))]}, ["bird", "Cat"])
    for name in ("a.jpg", "d.jpg"):
        draw(tmp_path / name)
    data = LabelledFolder(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.read("val")[0].labels.tolist() == [0]
    assert "class 'bird' has no boxes: it is left out" in data.remarks


def test_given_classes(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    data = LabelledFolder(tmp_path, class_names=["bird", "Cat"])
    assert data.class_names == ("bird", "Cat")
    assert [record.labels.tolist() for record in data.read("train")] == [[1], [], []]
    assert data.left_out == ("class 'dog': 2 boxes left out, since the class is not in class_names",)


def test_class_with_a_single_box_and_pictures_without_boxes_are_told(tmp_path: Path) -> None:
    drawn_folders.yolo(tmp_path)
    write_yolo(tmp_path / "labels" / "val" / "d.txt", [("dog", (0, 0, 20, 20))])
    assert LabelledFolder(tmp_path).remarks == (
        "class 'cat' has a single box",
        "pictures without boxes, which are used as background: 1",
    )


@pytest.mark.parametrize("writer", [writers[0] for writers in WRITERS.values()])
def test_broken_pictures_are_left_out(writer: object, tmp_path: Path) -> None:
    assert callable(writer)
    writer(tmp_path)
    (broken,) = tmp_path.rglob("b.jpg")
    draw(broken, size=(800, 600))
    PIL.Image.open(broken).resize((80, 60)).save(broken)
    whole = broken.read_bytes()
    for content, got in ((whole[: len(whole) // 2], "truncated"), (b"no picture", "not jpeg"), (b"", "empty file")):
        broken.write_bytes(content)
        data = LabelledFolder(tmp_path)
        assert [record.path.name for record in data.read("train")] == ["a.jpg", "c.png"]
        (line,) = data.left_out
        assert line.startswith(f"{broken}: expected a readable image, got: ")
        assert got in line.lower()


def test_picture_of_another_size_is_left_out(tmp_path: Path) -> None:
    drawn_folders.coco(tmp_path)
    path = tmp_path / "images" / "b.jpg"
    exif = PIL.Image.Exif()
    exif[ExifTag.Orientation] = 6
    PIL.Image.new("RGB", (80, 60)).save(path, exif=exif)
    data = LabelledFolder(tmp_path)
    assert [record.path.name for record in data.read("train")] == ["a.jpg", "c.png"]
    assert data.left_out == (
        f"{path}: expected 80x60 px as in {tmp_path / 'train.json'}: images[1] (id 2), got 60x80 (with its EXIF "
        "orientation applied)",
    )


def test_size_that_is_not_stated_is_read_from_the_picture(tmp_path: Path) -> None:
    many(tmp_path, 2)
    write_voc(tmp_path / "000.xml", [("cat", (0, 0, 80, 60))], size=(0, 0))
    data = LabelledFolder(tmp_path)
    assert {entry.size for split in data.splits for entry in data.read_entries(split)} == {(60, 80)}
    assert data.left_out == ()


def test_boxes_outside_or_empty_are_left_out(tmp_path: Path) -> None:
    wrong = [("cat", (70, 10, 90, 20)), ("cat", (30, 10, 30, 20)), ("cat", (40, 10, 20, 20)), ("cat", (5, 5, 25, 25))]
    for name in ("coco", "voc", "csv", "yolo"):
        draw(tmp_path / name / "images" / "a.jpg")
    write_coco(tmp_path / "coco" / "all.json", {"a.jpg": wrong}, ["cat"])
    write_voc(tmp_path / "voc" / "a.xml", wrong)
    write(tmp_path / "csv" / "all.csv", csv_text({"a.jpg": wrong}))
    write(tmp_path / "yolo" / "data.yaml", "train: images\nnames: [cat]")
    write_yolo(tmp_path / "yolo" / "labels" / "a.txt", wrong, ["cat"])
    for name, places in {
        "coco": [
            "all.json: annotations[0] (id 1)",
            "all.json: annotations[2] (id 3)",
            "all.json: images[0] (id 1)",  # has the box of no width, which `COCO` reads as ignored
        ],
        "voc": ["a.xml:2", "a.xml:3", "a.xml:4"],
        "csv": ["all.csv:2", "all.csv:3", "all.csv:4"],
        "yolo": ["labels/a.txt:1", "labels/a.txt:2", "labels/a.txt:3"],
    }.items():
        data = LabelledFolder(tmp_path / name)
        (record,) = data.read("train")
        assert record.boxes.tolist() == [[5, 5, 25, 25]], name
        assert [line.partition(": expected ")[0] for line in data.left_out] == [
            str(tmp_path / name / place) for place in places
        ]


def test_warning_says_how_many_things_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn_folders.voc_lists(tmp_path)
    assert LabelledFolder(tmp_path).left_out == ()
    assert caplog.messages == []
    write(tmp_path / "train.txt", "a\nb\n")
    LabelledFolder(tmp_path)
    assert caplog.messages == [
        f"{tmp_path}: left out 1 boxes, pictures or files, which detect-check-dataset lists",
    ]


def test_pictures_and_files_that_belong_to_nothing_are_listed(tmp_path: Path) -> None:
    many(tmp_path / "beside", 4)
    draw(tmp_path / "beside" / "without.jpg")
    write_voc(tmp_path / "beside" / "alone.xml", [("cat", (0, 0, 20, 20))])
    assert LabelledFolder(tmp_path / "beside").left_out == (
        f"{tmp_path / 'beside/without.jpg'}: not used, since it has no XML file",
        f"{tmp_path / 'beside/alone.xml'}: expected a file 'alone' in the folder or below, got none",
    )
    drawn_folders.voc_lists(tmp_path / "lists")
    write(tmp_path / "lists" / "train.txt", "a\nnothing\n")
    assert LabelledFolder(tmp_path / "lists").left_out == (
        f"{tmp_path / 'lists/annotations/b.xml'}: not used, since no list has it",
        f"{tmp_path / 'lists/annotations/c.xml'}: not used, since no list has it",
        f"{tmp_path / 'lists/train.txt'}:2: expected a file 'nothing' in the folder or below, got none",
    )


def test_nothing_usable(tmp_path: Path) -> None:
    write_coco(tmp_path / "all.json", ALL)
    with pytest.raises(InputError) as caught:
        LabelledFolder(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: expected boxes in COCO JSON (all.json), got none that can be used, 4 faults, the first: "
        f"{tmp_path / 'all.json'}: images[0] (id 1): expected the image {tmp_path / 'a.jpg'}, got no such file"
    )


def test_twenty_thousand_classes(tmp_path: Path) -> None:
    classes = [f"class {number}" for number in range(20_000)]
    pictures = {f"{row}.png": [(name, (0, 0, 20, 20)) for name in classes[row::10]] for row in range(10)}
    content = coco_content({name: [] for name in pictures}, classes)
    content["annotations"] = [
        {"id": number, "image_id": number % 10 + 1, "category_id": number + 1, "bbox": [0, 0, 20, 20]}
        for number in range(len(classes))
    ]
    write(tmp_path / "all.json", json.dumps(content))
    for name in pictures:
        draw(tmp_path / name)
    data = LabelledFolder(tmp_path)
    assert len(data.class_names) == 20_000
    assert len(data.remarks) == 20_000  # each class has a single box
    assert [len(data.read(split)) for split in data.splits] == [9, 1]
