"""The benchmark of tiles lays photographs side by side, and measures a detector with and without tiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from detection.detector import Detector
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import Proposals, RegionScores
from detection.structures.ground_truth import GroundTruth
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark import tiles

SMALL, MEDIUM = (5, 5, 12, 12), (25, 15, 40, 40)
"""The white squares in each photo, xywh."""


class NearSighted:
    """Stages that find white squares, but small ones only in a picture of up to 100 pixels."""

    class_names = ("square",)

    def propose(self, image: Image) -> Proposals:
        least = 10 if max(image.shape[:2]) <= 100 else 30
        _, _, found, _ = cv2.connectedComponentsWithStats(image[:, :, 0])
        boxes = [(x, y, x + width, y + height) for x, y, width, height, _ in found[1:].tolist() if width >= least]
        return Proposals(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32))

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        assert len(images) == len(boxes)
        return [RegionScores(np.tile(np.array([[0, 1]], np.float32), (len(each), 1))) for each in boxes]


@pytest.fixture(name="data")
def four_photos(tmp_path: Path) -> Path:
    """A data set in the layout of COCO: four photos of 80 x 60 pixels with two squares each."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    for x, y, width, height in (SMALL, MEDIUM):
        pixels[y : y + height, x : x + width] = 255
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (tmp_path / "val").mkdir()
    for number in range(4):
        PIL.Image.fromarray(pixels).save(tmp_path / "val" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
        for box in (SMALL, MEDIUM):
            item = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0}
            annotations.append(item | {"area": box[2] * box[3]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return tmp_path


def run(data: Path, *options: str) -> int | None:
    return benchmark.main(["tiles", "--data", str(data), "--dataset", "detection.datasets.COCO", *options])


def test_tiles_find_small_objects(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = NearSighted()
    monkeypatch.setattr(tiles, "load_detector", lambda *_: Detector(stages.propose, stages))
    target = tmp_path / "out.json"
    assert run(data, "--pictures", "1", "--tile", "80", "--json", str(target)) == 0
    report = json.loads(target.read_text())
    assert (report["pictures"], report["objects"]) == (1, 8)
    figures = {name: [report[name][key] for key in ("AP_small", "AP_medium", "AP50")] for name in ("whole", "tiles")}
    assert figures == {"whole": [0, pytest.approx(1), pytest.approx(51 / 101)], "tiles": [pytest.approx(1)] * 3}
    assert "1 pictures with 8 objects" in capsys.readouterr().out


def test_too_few_photos_and_other_classes(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "--pictures", "2") == 1
    assert "--pictures: expected at most 1, a quarter of the split" in capsys.readouterr().err
    stages = NearSighted()
    stages.class_names = ("circle",)
    monkeypatch.setattr(tiles, "load_detector", lambda *_: Detector(stages.propose, stages))
    assert run(data, "--pictures", "1") == 1
    assert f"{data}: expected the classes of the detector, class 0 is 'square', not 'circle'" in capsys.readouterr().err


def test_objects_move_with_their_photos(data: Path) -> None:
    PIL.Image.fromarray(np.full((20, 100, 3), 9, np.uint8)).save(data / "wide.png")
    names = ["val/0.png", "val/1.png", "wide.png", "val/2.png"]
    records = [
        GroundTruth(name, data / name, np.array([[1, 2, 3, 4]], np.float32), np.array([place]))
        for place, name in enumerate(names)
    ]
    image, objects = tiles.mosaic("a", records)
    assert image.shape == (120, 200, 3)
    assert objects.boxes.tolist() == [[1, 2, 3, 4], [101, 2, 103, 4], [1, 62, 3, 64], [101, 62, 103, 64]]
    assert objects.labels.tolist() == [0, 1, 2, 3]
    assert (image[60:80, :100] == 9).all()
    assert not image[80:, :100].any()
    assert not image[:60, 80:100].any()  # a photo is smaller than its cell
