"""The command prints every fault in a line, and a summary."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest
from PIL.ExifTags import Base as ExifTag

from detection.datasets import LabelledFolder
from tests.detection.datasets.layouts import drawn_folders
from tools.data import check_dataset

COCO = ("--dataset", "detection.datasets.COCO", "--dataset.images", "images")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photos in the format of COCO, of which one is empty and one stored sideways."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    upright, sideways = PIL.Image.Exif(), PIL.Image.Exif()
    sideways[ExifTag.Orientation] = 6
    for name, size, exif in (("a.jpg", (40, 30), upright), ("b.jpg", (30, 40), sideways), ("c.png", (9, 9), upright)):
        PIL.Image.new("RGB", size).save(tmp_path / "images" / name, exif=exif)
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},
            {"id": 2, "file_name": "b.jpg", "width": 40, "height": 30},
            {"id": 3, "file_name": "c.png", "width": 9, "height": 9},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0, 0, 5, 5]},
            {"id": 3, "image_id": 2, "category_id": 5, "bbox": [0, 0, 5, 5]},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}],
    }
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return tmp_path


def run(root: Path, *options: str) -> int:
    return check_dataset.main([*COCO, "--data", str(root), "--split", "train", *options])


def test_data_set_without_faults(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--images",)):
        assert run(root, *options) == 0
        assert capsys.readouterr().out.splitlines() == [
            "3 images, 1 of them without objects",
            "3 objects, 1 of them ignored",
            "objects per class, of 2 classes: 1 / 1.5 / 2 (min / median / max)",
            "0 faults",
        ]


def test_faults_of_annotations(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["category_id"] = 77
    content["annotations"][1]["iscrowd"] = "a\nb"
    path.write_text(json.dumps(content))
    assert run(root) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{path}: annotations[1] (id 2): expected 0 or 1 for iscrowd, got 'a\\nb'",
        f"{path}: annotations[2] (id 3): expected the id of a category of the file, got category_id 77",
        f"{root}: expected objects of every class in split 'train', got none of 'dog'",
        "3 images, 2 of them without objects",
        "1 objects, 1 of them ignored",
        "objects per class, of 2 classes: 0 / 0.5 / 1 (min / median / max)",
        "3 faults",
    ]


def test_images_are_opened_only_on_demand(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = root / "images" / "a.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    PIL.Image.new("RGB", (30, 40)).save(root / "images" / "b.jpg")  # upright as it is, and no longer turned
    assert run(root) == 0
    capsys.readouterr()
    assert run(root, "--images") == 1
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{photo}: expected a readable image, got: ")
    place = f"{root / 'annotations' / 'instances_train.json'}: images[1] (id 2)"
    assert second.startswith(f"{root / 'images' / 'b.jpg'}: expected 40x30 px as in {place}, got 30x40 ")
    assert last == "2 faults"


def test_split_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_dataset.main([*COCO, "--data", str(root), "--split", "val"]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{root / 'annotations' / 'instances_val.json'}: expected a json file")
    assert last == "1 fault"


def test_data_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"detect-check-dataset: {tmp_path}")
    assert output.err.count("\n") == 1


def test_reader_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        check_dataset.main(["--dataset", "detection.datasets.Nothing", "--data", str(root), "--split", "train"])
    assert "detection.datasets.Nothing" in capsys.readouterr().err


def test_folder_whose_layout_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn_folders.voc_lists(tmp_path)
    assert check_dataset.main([str(tmp_path), "--images"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}: PASCAL VOC (4 XML files in annotations/, lists train.txt, val.txt)"
    assert lines[3:5] == ["pictures           3    1", "without boxes      1    0"]
    assert lines[-1] == "0 faults"


def test_faults_of_a_recognised_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn_folders.voc_lists(tmp_path)
    photo = tmp_path / "images" / "a.jpg"
    content = photo.read_bytes()
    photo.write_bytes(content[:-60] + content[-2:])  # only the end is there
    (tmp_path / "val.txt").write_text("d\nx\n")
    assert check_dataset.main([str(tmp_path)]) == 1
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'val.txt'}:2: expected a file 'x' in the folder or below, got none"
    assert (second, last) == (
        f"{tmp_path}: PASCAL VOC (4 XML files in annotations/, lists train.txt, val.txt)",
        "1 fault",
    )


def test_a_split_of_a_recognised_folder(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    dataset = LabelledFolder(tmp_path)
    for split, names in (("train", "abc"), ("val", "d"), ("all", "abcd"), (None, "abcd")):
        checked = check_dataset.check_folder(dataset, split, decode=True)
        assert [entry.record.path.stem for entry in checked.entries] == list(names)


def test_a_split_that_a_recognised_folder_cannot_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn_folders.voc_lists(tmp_path)
    assert check_dataset.main([str(tmp_path), "--images", "--split", "trian"]) == 1
    assert f"{tmp_path}: expected one of the splits train, val, got 'trian'" in capsys.readouterr().err
    assert check_dataset.main([str(tmp_path), "--split", "train"]) == 1
    expected = f"--split: expected --images, since {tmp_path} is checked as a whole, got 'train' alone"
    assert expected in capsys.readouterr().err


def test_layout_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn_folders.voc_lists(tmp_path)
    drawn_folders.write(tmp_path / "all.csv", drawn_folders.csv_text(drawn_folders.ALL))
    assert check_dataset.main([str(tmp_path)]) == 1
    assert "choose with --layout voc or --layout csv" in capsys.readouterr().err
    for options in (("--layout", "csv"), ("--dataset.layout", "csv")):
        assert check_dataset.main([str(tmp_path), *options]) == 0
        assert capsys.readouterr().out.startswith(f"{tmp_path}: CSV (all.csv)\n")
    assert check_dataset.main([str(tmp_path), "--layout", "csv", "--dataset", "detection.datasets.YOLO"]) == 1
    assert capsys.readouterr().err == (
        "detect-check-dataset: --layout: expected the reader LabelledFolder, got detection.datasets.YOLO\n"
    )
