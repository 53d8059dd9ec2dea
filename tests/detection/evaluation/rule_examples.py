"""Small splits of objects and detections, for tests of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

Box = tuple[int, int, int, int]
NAMES = ("cat", "dog")


class Found(NamedTuple):
    image: int
    label: int
    score: float
    box: Box


class Annotated(NamedTuple):
    image: int
    label: int
    box: Box
    ignored: bool = False


def make_split(
    objects: Sequence[Annotated], found: Sequence[Found], images: int = 3
) -> tuple[SplitObjects, SplitDetections]:
    """Return objects and detections in the given order, which may differ from the order of the images."""
    index = split_index([f"{image}" for image in range(images)], NAMES)
    ignored = np.array([item.ignored for item in objects], np.bool_)
    boxes = xywh([item.box for item in objects])
    truth = SplitObjects(
        index,
        np.array([item.image for item in objects], np.int64),
        np.array([item.label for item in objects], np.int64),
        boxes,
        ignored,
        ignored,
        boxes[:, 2] * boxes[:, 3],
    )
    return truth, SplitDetections(
        index,
        np.array([item.image for item in found], np.int64),
        np.array([item.label for item in found], np.int64),
        xywh([item.box for item in found]),
        np.array([item.score for item in found], np.float64),
    )


def xywh(boxes: Sequence[Box]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes], np.float64).reshape(-1, 4)
