"""Images with detections, and the export of them in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from detection.formats.exports.export import DetectedImage, Export
from detection.structures.arrays import Image
from detection.structures.detections import Detections

NAMES = ("cat", "wine glass", "猫")

BOXES = [(0, 0, 30, 20), (1.25, 2.5, 10.75, 12), (-3, 10, 20, 45), (59.999, 0, 60, 40), (70, 0, 80, 9)]
"""In an image of 40x60 px: two within it, one over its border, one too narrow to be written, and one outside."""
VISIBLE = [(0, 0, 30, 20), (1.25, 2.5, 10.75, 12), (0, 10, 20, 40)]
SCORES = (0.875, 0.75, 0.5, 0.25, 0.125)
LABELS = (2, 0, 1, 0, 0)


def pixels(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def objects(count: int = len(BOXES)) -> Detections:
    return Detections(
        np.array(BOXES[:count], np.float32), np.array(SCORES[:count]), np.array(LABELS[:count], int), NAMES
    )


def saved(path: Path, count: int = len(BOXES), seed: int = 0) -> DetectedImage:
    """Write a picture, and return it with detections."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels(seed)).save(path)
    return DetectedImage(str(path), pixels(seed), objects(count))


def export(kind: type[Export], target: Path, items: Sequence[DetectedImage], *, overwrite: bool = False) -> None:
    writer = kind(target, inputs={}, overwrite=overwrite)
    for item in items:
        writer.add(item)
    writer.finish()
