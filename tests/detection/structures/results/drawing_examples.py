"""Images, and detections to draw on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detection.structures.arrays import Image
from detection.structures.detections import Detections
from detection.structures.results.drawing import class_colour

NAMES = ("cat", "dog", "person")


def photo(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def detected(
    boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int], names: Sequence[str] = NAMES
) -> Detections:
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels), tuple(names))


def one(box: Sequence[float], name: str = "cat") -> Detections:
    return detected([box], [0.87], [0], [name])


def is_colour(image: Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (image == class_colour(name)).all(axis=-1)
    return mask
