"""Every layout is recognised, and gives the same pictures, boxes and classes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.datasets import LabelledFolder
from detection.datasets.layouts.recognise import LAYOUTS, recognise
from detection.errors import InputError
from tests.detection.datasets.layouts import drawn_folders
from tests.detection.datasets.layouts.drawn_folders import ALL, PICTURES, WRITERS, draw, write, write_coco, write_voc
from tools.command.options import LayoutName

CASES = [(layout, writer) for layout, writers in WRITERS.items() for writer in writers]


def content(data: LabelledFolder, split: str) -> dict[str, list[tuple[str, list[float]]]]:
    """Return the class and box of each object, by the name of the picture."""
    return {
        record.path.name: [
            (data.class_names[label], [round(corner, 3) for corner in box])
            for label, box in zip(record.labels.tolist(), record.boxes.tolist(), strict=True)
        ]
        for record in data.read(split)
    }


def expected(split: str) -> dict[str, list[tuple[str, list[float]]]]:
    return {picture: [(name, list(box)) for name, box in boxes] for picture, boxes in PICTURES[split].items()}


@pytest.mark.parametrize(("layout", "writer"), CASES, ids=[writer.__name__ for _, writer in CASES])
def test_every_layout_is_read_alike(layout: str, writer: Callable[[Path], None], tmp_path: Path) -> None:
    writer(tmp_path)
    data = LabelledFolder(tmp_path)
    assert data.layout == layout
    assert data.class_names == ("cat", "dog")
    assert data.splits == ("train", "val")
    assert {split: content(data, split) for split in data.splits} == {split: expected(split) for split in PICTURES}
    assert data.description.splitlines()[1] == "splits, as given: train 3, val 1 pictures"
    missing = [
        line for line in data.left_out if "test" not in line
    ]  # Roboflow's data.yaml names a split without folder
    assert missing == []


def test_root_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for layout, writer in CASES:
        root = tmp_path / writer.__name__
        writer(root)
        monkeypatch.chdir(root)
        assert content(LabelledFolder("."), "train") == expected("train"), layout
        monkeypatch.chdir(tmp_path)
        assert content(LabelledFolder(root.name), "train") == expected("train"), layout


def test_file_for_all_pictures(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco" / "annotations" / "instances_default.json", ALL)
    write(tmp_path / "csv" / "boxes.csv", drawn_folders.csv_text(ALL))
    for name, boxes in ALL.items():
        draw(tmp_path / "coco" / "images" / "default" / name)
        draw(tmp_path / "csv" / name)
        draw(tmp_path / "voc" / name)
        write_voc(tmp_path / "voc" / f"{Path(name).stem}.xml", boxes)
    for layout in ("coco", "csv", "voc"):
        data = LabelledFolder(tmp_path / layout)
        assert data.layout == layout
        assert content(data, "train") | content(data, "val") == expected("train") | expected("val")
        assert data.description.splitlines()[1] == (
            "splits, 20% of the pictures drawn as val, balanced by class, with seed 1: train 2, val 2 pictures"
        )


@pytest.mark.parametrize("folder", ["/home/someone/pets/", r"C:\pets\images\\", "../pets/", "images/"])
def test_images_with_the_paths_of_another_machine(folder: str, tmp_path: Path) -> None:
    listed = {f"{folder}{name}": boxes for name, boxes in ALL.items()}
    write_coco(tmp_path / "coco" / "result.json", listed)
    write(tmp_path / "csv" / "boxes.csv", drawn_folders.csv_text(listed))
    for layout in ("coco", "csv"):
        for name in ALL:
            draw(tmp_path / layout / "images" / name)
        data = LabelledFolder(tmp_path / layout)
        assert content(data, "train") | content(data, "val") == expected("train") | expected("val")
        assert data.left_out == ()


@pytest.mark.parametrize("folder", ["", "images", "train", "training_set"])
def test_folders_of_classes(folder: str, tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg"):
        draw(tmp_path / folder / name, name)
    data = LabelledFolder(tmp_path)
    assert (data.layout, data.class_names, data.splits) == ("folders", ("cat", "dog"), ("train", "val"))
    records = [record for split in data.splits for record in data.read(split)]
    assert {record.image_id: data.class_names[record.labels[0]] for record in records} == {
        "cat/1.jpg": "cat",
        "cat/2.jpg": "cat",
        "cat/3.jpg": "cat",
        "dog/1.jpg": "dog",
        "dog/2.jpg": "dog",
    }
    assert all(record.boxes.tolist() == [[0, 0, 80, 60]] for record in records)


def test_folders_of_splits_and_classes(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("cat/1.jpg", "train/1.jpg"):  # a class may have the name of a split
            draw(tmp_path / split / name, split + name)
    data = LabelledFolder(tmp_path)
    assert (data.class_names, data.splits) == (("cat", "train"), ("train", "val", "test"))
    assert [record.path.parent.parent.name for record in data.read("val")] == ["valid", "valid"]


def test_two_layouts_are_refused_by_name(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    write(tmp_path / "all.csv", drawn_folders.csv_text(ALL))
    with pytest.raises(InputError) as caught:
        LabelledFolder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected annotations in one layout, got PASCAL VOC (4 XML files in annotations/, lists "
        "train.txt, val.txt) and CSV (all.csv): choose with --layout voc or --layout csv (or --dataset.layout)"
    )
    assert LabelledFolder(tmp_path, layout="csv").layout == "csv"
    assert LabelledFolder(tmp_path, layout="voc").splits == ("train", "val")


def test_two_files_for_a_split_are_refused_by_name(tmp_path: Path) -> None:
    drawn_folders.coco(tmp_path)
    shutil.copy(tmp_path / "train.json", tmp_path / "old_train.json")
    message = "with one JSON file in the format of COCO for split 'train', got old_train.json, train.json"
    with pytest.raises(InputError, match=re.escape(message)):
        LabelledFolder(tmp_path)


def test_file_without_a_split_is_not_used_beside_those_with_one(tmp_path: Path) -> None:
    drawn_folders.coco(tmp_path)
    shutil.copy(tmp_path / "train.json", tmp_path / "everything.json")
    data = LabelledFolder(tmp_path)
    assert content(data, "train") == expected("train")
    reason = "not used: its name has no split (train, val, test), but other files have one"
    assert data.left_out == (f"{tmp_path / 'everything.json'}: {reason}",)


def test_nothing_to_recognise(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "a.jpg")
    write(tmp_path / "settings.json", "{}")
    write(tmp_path / "numbers.csv", "a,b\n1,2\n")
    write(tmp_path / "pom.xml", "<project/>")
    write(tmp_path / "compose.yaml", "services: {}")
    with pytest.raises(InputError) as caught:
        LabelledFolder(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}: expected annotations, got none among 5 files, 1 of them images, in this folder and below; looked "
        "for: JSON files with images, annotations and categories (coco); XML files of PASCAL VOC (voc); "
    )
    assert message.count("\n") == 0
    with pytest.raises(InputError, match=r"got none among 5 files.*; looked for: XML files of PASCAL VOC \(voc\)$"):
        LabelledFolder(tmp_path, layout="voc")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: expected a folder with pictures, got none"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a\.jpg: expected a folder with pictures, got a file"):
        recognise(draw(tmp_path / "a.jpg"))
    with pytest.raises(InputError, match="expected one of coco, voc, yolo, csv, folders, got 'labelme'"):
        recognise(tmp_path, layout="labelme")


def test_option_has_the_names_of_the_layouts() -> None:
    assert LayoutName.__args__ == tuple(LAYOUTS)  # type: ignore[attr-defined]


def test_pictures_of_a_single_class_are_no_annotations(tmp_path: Path) -> None:
    draw(tmp_path / "cat" / "1.jpg")
    with pytest.raises(InputError, match="expected annotations, got none"):
        LabelledFolder(tmp_path)


@pytest.mark.parametrize(
    ("config", "fault"),
    [("names: [", "expected YAML: "), ("train: images/train\nval: images/val", "expected names of classes, ")],
)
def test_fault_of_data_yaml_is_told(config: str, fault: str, tmp_path: Path) -> None:
    drawn_folders.yolo(tmp_path, config)
    with pytest.raises(InputError, match=rf"data\.yaml: {fault}"):
        LabelledFolder(tmp_path)


def test_other_yaml_files_do_no_harm(tmp_path: Path) -> None:
    drawn_folders.yolo(tmp_path)
    write(tmp_path / "notes.yaml", "names: [")
    write(tmp_path / "old.yaml", "names: [bird]\ntrain: images")
    assert LabelledFolder(tmp_path).class_names == ("cat", "dog")
    (tmp_path / "data.yaml").rename(tmp_path / "pets.yaml")
    with pytest.raises(InputError, match=r"expected one data\.yaml with names of classes, got old\.yaml, pets\.yaml"):
        LabelledFolder(tmp_path)
