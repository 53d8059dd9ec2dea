"""Images with regions to score, and classifiers in float32 on a CPU, for tests of ensembles and single networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import RegionScores

BOXES = np.array([[0, 0, 40, 30], [5, 5, 20, 25], [10, 0, 39, 12], [3, 4, 5, 6], [0, 10, 30, 30]], np.float32)

Write = Callable[..., str]

exact_ensemble = partial(Ensemble, device="cpu", precision="float32")
exact_classifier = partial(RegionClassifier, device="cpu", precision="float32")


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)


IMAGES, REGIONS = [image(0), image(1)[:20, :30].copy(), image(2)], [BOXES, BOXES[:0], BOXES[1:4]]


def expected_confidence(probabilities: FloatArray) -> FloatArray:
    """The geometric mean of the best class, twice, and of all that is not background: [..., C + 1] -> [...]."""
    confidence: FloatArray = np.cbrt(probabilities[..., 1:].max(axis=-1) ** 2 * probabilities[..., 1:].sum(axis=-1))
    return confidence


def refined(scores: RegionScores) -> FloatArray:
    """The refined boxes [N, C, 4], which must be there."""
    assert scores.boxes is not None
    return scores.boxes
