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
    names = NAMES if name in NAMES else (name,)
    return detected([box], [0.87], [names.index(name)], names)


def is_colour(image: Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    colour = class_colour(NAMES.index(name) if name in NAMES else 0)
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (image == colour).all(axis=-1)
    return mask
