"""Each export is read by our own readers, with the boxes and classes that were written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from detection.datasets import COCO, YOLO, CSVTable, DataSet, LabelledFolder, PascalVOC
from detection.formats.exports.coco_file import CocoFile
from detection.formats.exports.crops_folder import CropsFolder
from detection.formats.exports.csv_file import CsvFile
from detection.formats.exports.export import DetectedImage, Export
from detection.formats.exports.voc_folder import VocFolder
from detection.formats.exports.yolo_folder import YoloFolder
from detection.formats.ground_truth import read_coco_ground_truth
from detection.image import read_image
from tests.detection.formats.exports.export_examples import NAMES, VISIBLE, export, objects, pixels, saved


class Format(NamedTuple):
    kind: type[Export]
    target: str
    read: Callable[[Path], DataSet]


FORMATS = {
    "coco": Format(CocoFile, "found.json", lambda root: COCO(root, annotations="found.json", images="")),
    "csv": Format(CsvFile, "found.csv", lambda root: CSVTable(root, annotations="found.csv", images="")),
    "yolo": Format(YoloFolder, "found", lambda root: YOLO(root / "found")),
    "voc": Format(VocFolder, "found", lambda root: PascalVOC(root / "found", class_names=NAMES)),
}


@pytest.fixture(params=[*FORMATS.values()], ids=[*FORMATS])
def form(request: pytest.FixtureRequest) -> Format:
    chosen: Format = request.param
    return chosen


def test_what_is_written_is_read(form: Format, tmp_path: Path) -> None:
    items = [saved(tmp_path / "photos" / "a.jpg"), saved(tmp_path / "photos" / "empty.png", 0, seed=1)]
    export(form.kind, tmp_path / form.target, items)
    data = form.read(tmp_path)
    first, empty = data.read("train")
    assert [data.class_names[label] for label in first.labels] == ["猫", "cat", "wine glass"]
    np.testing.assert_allclose(first.boxes, VISIBLE, atol=0.001)
    assert not first.ignored.any()
    assert len(empty.boxes) == 0
    np.testing.assert_array_equal(read_image(first.path), read_image(items[0].name))
    np.testing.assert_array_equal(read_image(empty.path), pixels(1))


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_folders_are_recognised(name: str, tmp_path: Path) -> None:
    export(FORMATS[name].kind, tmp_path / "found", [saved(tmp_path / "photos" / "a.jpg")])
    (record,) = LabelledFolder(tmp_path / "found").read("train")
    np.testing.assert_allclose(record.boxes, VISIBLE, atol=0.001)


def test_pictures_of_the_same_name(form: Format, tmp_path: Path) -> None:
    names = ("x/a.png", "y/a.png", "y/A.PNG", "y/a.jpg", "y/a_2.png")
    items = [saved(tmp_path / name, count, seed=count) for count, name in enumerate(names, start=1)]
    export(form.kind, tmp_path / form.target, items)
    records = sorted(form.read(tmp_path).read("train"), key=lambda record: len(record.boxes))
    assert [len(record.boxes) for record in records] == [1, 2, 3, 3, 3]  # the last two boxes are not visible
    assert len({record.path for record in records}) == 5
    for record, item in zip(records, items, strict=False):
        if item.name.lower().endswith("png") and len(record.boxes) < 3:
            np.testing.assert_array_equal(read_image(record.path), item.image)


def test_pictures_that_are_no_files(tmp_path: Path) -> None:
    """A picture from a pipe or an archive is written from its pixels."""
    items = [
        DetectedImage(name, pixels(seed), objects())
        for seed, name in enumerate(("/dev/stdin", "photos.zip/a.jpg", "…\ud800?.jpg", ".."))
    ]
    for name in ("yolo", "voc"):
        export(FORMATS[name].kind, tmp_path / name, items)
        data = YOLO(tmp_path / name) if name == "yolo" else PascalVOC(tmp_path / name)
        records = sorted(data.read("train"), key=lambda record: record.path)
        assert [record.path.name for record in records] == ["_.png", "a.png", "stdin.png", "…__.png"]
        np.testing.assert_array_equal(read_image(records[1].path), pixels(1))


def test_scores_are_in_the_formats_that_have_a_place_for_them(tmp_path: Path) -> None:
    items = [saved(tmp_path / "a.png")]
    export(CocoFile, tmp_path / "found.json", items)
    annotations = json.loads((tmp_path / "found.json").read_text())["annotations"]
    assert [annotation["score"] for annotation in annotations] == [0.875, 0.75, 0.5]
    export(CsvFile, tmp_path / "found.csv", items)
    lines = (tmp_path / "found.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "filename,width,height,class,xmin,ymin,xmax,ymax,score",
        "a.png,60,40,猫,1,1,30,20,0.875",
        "a.png,60,40,cat,2.25,3.5,10.75,12,0.75",
        "a.png,60,40,wine glass,1,11,20,40,0.5",
    ]


def test_coco_is_ground_truth_too(tmp_path: Path) -> None:
    export(CocoFile, tmp_path / "found.json", [saved(tmp_path / "photos" / "a.png")])
    truth = read_coco_ground_truth(tmp_path / "found.json")
    assert truth.index.class_names == NAMES
    assert truth.index.file_names == ("photos/a.png",)
    assert truth.areas.tolist() == [600, 90.25, 600]


def test_crops_lie_in_a_folder_for_each_class(tmp_path: Path) -> None:
    items = [saved(tmp_path / "x" / "a.png"), saved(tmp_path / "y" / "a.png", 1, seed=1)]
    export(CropsFolder, tmp_path / "crops", items)
    files = sorted(path.relative_to(tmp_path / "crops").as_posix() for path in (tmp_path / "crops").rglob("*.png"))
    assert files == ["cat/a_2.png", "wine glass/a_3.png", "猫/a_1.png", "猫/a_2_1.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "crops" / "猫" / "a_2_1.png"), pixels(1)[:20, :30])
    np.testing.assert_array_equal(read_image(tmp_path / "crops" / "wine glass" / "a_3.png"), pixels()[10:40, :20])
