"""Exports are read by pycocotools and supervision, with the boxes and classes that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from pycocotools.coco import COCO

from detection.formats.exports.coco_file import CocoFile
from detection.formats.exports.export import DetectedImage
from detection.formats.exports.voc_folder import VocFolder
from detection.formats.exports.yolo_folder import YoloFolder
from tests.detection.formats.exports.export_examples import NAMES, VISIBLE, export, saved


@pytest.fixture
def items(tmp_path: Path) -> list[DetectedImage]:
    return [saved(tmp_path / "photos" / "a.jpg"), saved(tmp_path / "photos" / "empty.png", 0, seed=1)]


def check(data: sv.DetectionDataset) -> None:
    found = {Path(path).stem: (image, objects) for path, image, objects in data}
    image, objects = found["a"]
    assert image.shape == (40, 60, 3)
    assert objects.class_id is not None
    assert [data.classes[label] for label in objects.class_id] == ["猫", "cat", "wine glass"]
    np.testing.assert_allclose(objects.xyxy, VISIBLE, atol=1)  # in PASCAL VOC, supervision shifts boxes by a pixel
    assert len(found["empty"][1]) == 0


def test_pycocotools(items: list[DetectedImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(CocoFile, tmp_path / "found.json", items)
    coco = COCO(str(tmp_path / "found.json"))
    assert "Done" in capsys.readouterr().out
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [*NAMES]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=1))
    np.testing.assert_allclose(
        [item["bbox"] for item in annotations], [(0, 0, 30, 20), (1.25, 2.5, 9.5, 9.5), (0, 10, 20, 30)]
    )
    assert coco.getAnnIds(imgIds=2) == []


def test_supervision_reads_coco(items: list[DetectedImage], tmp_path: Path) -> None:
    export(CocoFile, tmp_path / "found.json", items)
    check(sv.DetectionDataset.from_coco(str(tmp_path), str(tmp_path / "found.json")))


def test_supervision_reads_yolo(items: list[DetectedImage], tmp_path: Path) -> None:
    root = tmp_path / "found"
    export(YoloFolder, root, items)
    check(sv.DetectionDataset.from_yolo(str(root / "images"), str(root / "labels"), str(root / "data.yaml")))


def test_supervision_reads_pascal_voc(items: list[DetectedImage], tmp_path: Path) -> None:
    root = tmp_path / "found"
    export(VocFolder, root, items)
    check(sv.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations")))
