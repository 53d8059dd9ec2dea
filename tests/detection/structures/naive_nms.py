"""Non-maximum suppression in exact arithmetic, and random boxes for it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Box = tuple[int, int, int, int]


def iou(box: Box, other: Box) -> Fraction:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, other)]
    return Fraction(shared, sum(areas) - shared) if sum(areas) else Fraction(0)


def naive_nms(boxes: Sequence[Box], scores: Sequence[float], threshold: Fraction) -> list[int]:
    """Return the indices that greedy suppression keeps, computed exactly; `sorted` is stable."""
    chosen: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if all(iou(boxes[candidate], boxes[better]) <= threshold for better in chosen):
            chosen.append(candidate)
    return chosen


def random_boxes(generator: np.random.Generator, count: int) -> list[Box]:
    """Return boxes with sides of 0 to 8 pixels; many of them overlap, and some are equal."""
    corners = generator.integers(0, 6, (count, 2))
    ends = corners + generator.integers(0, 9, (count, 2))
    return [(int(x1), int(y1), int(x2), int(y2)) for (x1, y1), (x2, y2) in zip(corners, ends, strict=True)]


# Two equal boxes of length L, one moved by s, have an IoU of (L - s) / (L + s).
