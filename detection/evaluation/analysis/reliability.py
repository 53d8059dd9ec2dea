"""How far scores are shares of right detections, and what makes them so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from detection.calibration import SMALLEST, SMALLEST_AREA, BetaCalibration
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.split_columns import SplitDetections

BINS = 10


class Judged(NamedTuple):
    """The N detections that count: `scores` float64 [N], whether each is `right` [N], and its image's row [N].

    `areas` float64 [N] are the shares of the images that their boxes take.
    """

    scores: NDArray[np.float64]
    right: BoolArray
    images: IntArray
    areas: NDArray[np.float64]

    def part(self, rows: IntArray) -> Judged:
        """Some of the detections."""
        return Judged(self.scores[rows], self.right[rows], self.images[rows], self.areas[rows])


class Reliability(NamedTuple):
    """Detections in B bins of equal width: `counts` [B], and of each the mean score and the share of right ones.

    Both are nan where a bin is empty. `expected_error` is the mean distance of the two over all detections (Naeini,
    Cooper and Hauskrecht 2015), nan without any.
    """

    counts: IntArray
    scores: NDArray[np.float64]
    shares: NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        return float(np.average(np.abs(self.scores - self.shares)[filled], weights=self.counts[filled]))


def judge(metrics: DetectionMetrics) -> Judged:
    """The detections of a result; those that its rule ignores are left out. With COCO's rule, at an IoU of 0.5."""
    rows = np.flatnonzero(metrics.matches.outcomes != IGNORED)
    table = metrics.detections
    return Judged(
        table.scores[rows].astype(np.float64),
        metrics.matches.outcomes[rows] == TRUE_POSITIVE,
        table.images[rows],
        image_shares(table)[rows],
    )


def image_shares(detections: SplitDetections) -> NDArray[np.float64]:
    """The share of its image that the box of each detection takes [N]; 1 where the size of the image is unknown."""
    areas = detections.boxes_xywh[:, 2:].prod(axis=1)
    of_images = detections.index.sizes[detections.images].prod(axis=1)
    shares: NDArray[np.float64] = np.divide(areas, of_images, out=np.ones(len(areas)), where=of_images > 0)
    return shares


def reliability(scores: NDArray[np.float64], right: BoolArray, *, bins: int = BINS) -> Reliability:
    """Compare scores [N] in 0-1 with what is `right` [N]; a score on the border of two bins is in the upper one."""
    rows = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(rows, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan
        means = (np.bincount(rows, weights=values, minlength=bins) / counts for values in (scores, right))
        return Reliability(counts, *means)


def fit_calibration(judged: Judged, *, area: float | None = 0.0) -> BetaCalibration:
    """The calibration that makes what is right of what was judged most likely.

    Args:
        judged: detections.
        area: the term of this name in `BetaCalibration`; None for the most likely one.

    Raises:
        ValueError: if all are right or all wrong, or higher scores are not more often right.
    """
    scores, right, _, areas = judged
    if right.all() or not right.any():
        raise ValueError(f"expected right and wrong detections, got {int(right.sum())} right ones of {len(right)}")
    clipped = np.clip(scores, SMALLEST, 1 - SMALLEST)
    sizes = np.log(np.clip(areas, SMALLEST_AREA, 1))
    inputs = np.stack([np.log(clipped), -np.log1p(-clipped), np.ones_like(clipped), sizes], axis=1)  # [N, 4]
    signs = np.where(right, 1.0, -1.0)

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The mean negative log-likelihood, and its gradient."""
        margins = signs * (inputs @ numbers)
        chances_of_error = np.exp(-np.logaddexp(0, margins))
        return float(np.logaddexp(0, -margins).mean()), -inputs.T @ (signs * chances_of_error) / len(signs)

    start = np.array([1.0, 1.0, 0.0, area or 0.0])
    bounds = [(0, None), (0, None), (None, None), (area, area)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    a, b, offset, found_area = map(float, found.x)
    if not a + b > 0:
        raise ValueError("expected higher scores to be right more often")
    return BetaCalibration(a, b, offset, found_area)
