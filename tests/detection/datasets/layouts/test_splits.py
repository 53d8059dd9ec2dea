"""Splits of a folder: those that are given, and the one that is made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detection.datasets import LabelledFolder
from detection.errors import InputError
from tests.detection.datasets.layouts import drawn_folders
from tests.detection.datasets.layouts.drawn_folders import draw, many, write, write_voc


def image_ids(data: LabelledFolder, split: str) -> list[str]:
    return [record.image_id for record in data.read(split)]


def test_split_is_made_once_and_for_all(tmp_path: Path) -> None:
    many(tmp_path, 20)
    data = LabelledFolder(tmp_path)
    assert (len(data.read("train")), len(data.read("val"))) == (16, 4)
    assert set(image_ids(data, "train")) & set(image_ids(data, "val")) == set()
    assert image_ids(LabelledFolder(tmp_path), "val") == image_ids(data, "val") == sorted(image_ids(data, "val"))
    assert image_ids(LabelledFolder(tmp_path, seed=2), "val") != image_ids(data, "val")
    assert len(LabelledFolder(tmp_path, validation_share=0.5).read("val")) == 10
    with pytest.raises(InputError, match=r"validation_share: expected a share above 0 and up to 0\.5, got 0\.7"):
        LabelledFolder(tmp_path, validation_share=0.7)


def test_validation_split_is_made_beside_a_test_split(tmp_path: Path) -> None:
    many(tmp_path / "train", 10)
    for path in ("test/x.jpg", "test/y.jpg"):
        draw(tmp_path / path)
        write_voc((tmp_path / path).with_suffix(".xml"), [("cat", (0, 0, 20, 20))])
    data = LabelledFolder(tmp_path)
    assert data.splits == ("train", "val", "test")
    assert [len(data.read(split)) for split in data.splits] == [8, 2, 2]
    assert image_ids(data, "test") == ["x", "y"]


def test_trainval_stands_for_train(tmp_path: Path) -> None:
    many(tmp_path, 10)
    write(tmp_path / "ImageSets" / "Main" / "trainval.txt", "".join(f"{index:03}\n" for index in range(10)))
    data = LabelledFolder(tmp_path)
    assert [(split, len(data.read(split))) for split in data.splits] == [("train", 8), ("val", 2)]


def test_trainval_beside_val_stands_for_the_rest(tmp_path: Path) -> None:
    many(tmp_path, 6)
    write(tmp_path / "trainval.txt", "000\n001\n002\n003\n")
    write(tmp_path / "val.txt", "003\n")
    write(tmp_path / "test.txt", "004\n005\n")
    data = LabelledFolder(tmp_path)
    assert [(split, image_ids(data, split)) for split in data.splits] == [
        ("train", ["000", "001", "002"]),
        ("val", ["003"]),
        ("test", ["004", "005"]),
    ]
    assert data.left_out == ()


def test_pictures_in_no_split_are_listed(tmp_path: Path) -> None:
    for folder in ("train", "valid", "extra"):
        many(tmp_path / folder, 2)
    data = LabelledFolder(tmp_path)
    assert [(split, len(data.read(split))) for split in data.splits] == [("train", 2), ("val", 2)]
    assert data.left_out == (
        f"{tmp_path / 'extra' / '000.jpg'}: not used, since it is in no split",
        f"{tmp_path / 'extra' / '001.jpg'}: not used, since it is in no split",
    )


def test_same_pictures_are_on_one_side_of_a_made_split(tmp_path: Path) -> None:
    many(tmp_path, 12)
    for index in range(6):  # 006 to 011 are copies of 000 to 005
        shutil.copy(tmp_path / f"{index:03}.jpg", tmp_path / f"{index + 6:03}.jpg")
    for seed in range(5):
        data = LabelledFolder(tmp_path, seed=seed)
        sides = {split: {int(name) % 6 for name in image_ids(data, split)} for split in ("train", "val")}
        assert sides["val"]
        assert sides["train"] & sides["val"] == set()


def test_same_picture_in_given_splits_is_told(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    for copy in ("b.jpg", "d.jpg"):
        shutil.copy(tmp_path / "images" / "a.jpg", tmp_path / "images" / copy)
    write(tmp_path / "val.txt", "d\nc\n")  # the picture c is also in the list for training
    data = LabelledFolder(tmp_path)
    assert image_ids(data, "val") == ["d", "c"]
    assert data.remarks[-2:] == (
        "the same picture is in two splits: images/a.jpg (train) and images/b.jpg (train) and images/d.jpg (val)",
        "the same picture is in two splits: images/c.png (train) and images/c.png (val)",
    )
    many(tmp_path / "unsplit", 5)
    shutil.copy(tmp_path / "unsplit" / "000.jpg", tmp_path / "unsplit" / "001.jpg")
    (remark,) = LabelledFolder(tmp_path / "unsplit").remarks
    assert remark in (
        "the same picture is twice in split 'train': 000.jpg (train) and 001.jpg (train)",
        "the same picture is twice in split 'val': 000.jpg (val) and 001.jpg (val)",
    )


def test_split_that_is_not_there(tmp_path: Path) -> None:
    drawn_folders.coco(tmp_path)
    with pytest.raises(InputError, match="expected one of the splits train, val, got 'test'"):
        LabelledFolder(tmp_path).read("test")


def test_folder_with_only_a_validation_split(tmp_path: Path) -> None:
    many(tmp_path / "val", 3)
    data = LabelledFolder(tmp_path)
    assert data.splits == ("val",)
    assert "there is no split 'train'" in data.remarks


def test_a_single_picture_is_not_split(tmp_path: Path) -> None:
    many(tmp_path, 1)
    assert LabelledFolder(tmp_path).splits == ("train",)
