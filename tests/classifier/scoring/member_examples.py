"""Images with regions to score, for tests of ensembles and of what they share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detection.structures.arrays import FloatArray, Image

BOXES = np.array([[0, 0, 40, 30], [5, 5, 20, 25], [10, 0, 39, 12], [3, 4, 5, 6], [0, 10, 30, 30]], np.float32)

Write = Callable[..., str]


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)


IMAGES, REGIONS = [image(0), image(1)[:20, :30].copy(), image(2)], [BOXES, BOXES[:0], BOXES[1:4]]


def promise(probabilities: FloatArray) -> FloatArray:
    """The geometric mean of the best class, twice, and of all that is not background: [..., C + 1] -> [...]."""
    promised: FloatArray = np.cbrt(probabilities[..., 1:].max(axis=-1) ** 2 * probabilities[..., 1:].sum(axis=-1))
    return promised
