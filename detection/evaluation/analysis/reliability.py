"""The reliability of scores, and the calibration that makes them reliable.

Scores are reliable if the detections with a score near s are right in a share s of the cases.
"""

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
    """N detections that have been compared with the ground truth, without ignored detections.

    `scores` is float64 [N], `right` bool [N] is True for detections that found an object, `images` int64 [N] are the
    positions of their images, and `areas` float64 [N] the area of each box as a share of its image.
    """

    scores: NDArray[np.float64]
    right: BoolArray
    images: IntArray
    areas: NDArray[np.float64]

    def part(self, rows: IntArray) -> Judged:
        """Return the detections at these rows."""
        return Judged(self.scores[rows], self.right[rows], self.images[rows], self.areas[rows])


class Reliability(NamedTuple):
    """The mean score (`scores`) and the share of right detections (`shares`) in each of B bins of equal width.

    Both are nan where a bin is empty; `counts` int64 [B] are the numbers of detections. `expected_error` is the mean
    absolute difference of the two over all detections (Naeini, Cooper and Hauskrecht 2015), nan without detections.
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
    """Return the detections of a result, without those that its rule ignores; with COCO's rule at an IoU of 0.5."""
    rows = np.flatnonzero(metrics.matches.outcomes != IGNORED)
    detections = metrics.detections
    return Judged(
        detections.scores[rows].astype(np.float64),
        metrics.matches.outcomes[rows] == TRUE_POSITIVE,
        detections.images[rows],
        image_shares(detections)[rows],
    )


def image_shares(detections: SplitDetections) -> NDArray[np.float64]:
    """Return the area of each box as a share of its image, [N]; 1 where the size of the image is unknown."""
    areas = detections.boxes_xywh[:, 2:].prod(axis=1)
    image_areas = detections.index.sizes[detections.images].prod(axis=1)
    shares: NDArray[np.float64] = np.divide(areas, image_areas, out=np.ones(len(areas)), where=image_areas > 0)
    return shares


def reliability(scores: NDArray[np.float64], right: BoolArray, *, bins: int = BINS) -> Reliability:
    """Compare scores [N] in 0-1 with `right` [N]; a score on the border of two bins belongs to the upper one."""
    rows = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(rows, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan
        means = (np.bincount(rows, weights=values, minlength=bins) / counts for values in (scores, right))
        return Reliability(counts, *means)


def fit_calibration(judged: Judged, *, area: float | None = 0.0) -> BetaCalibration:
    """Return the calibration with the maximum likelihood.

    Args:
        judged: detections that have been compared with the ground truth.
        area: the parameter `area` of `BetaCalibration`; None to fit it too.

    Raises:
        ValueError: if all detections are right or all are wrong, or if higher scores are not right more often.
    """
    scores, right, _, areas = judged
    if right.all() or not right.any():
        raise ValueError(f"expected right and wrong detections, got {int(right.sum())} right ones of {len(right)}")
    clipped = np.clip(scores, SMALLEST, 1 - SMALLEST)
    sizes = np.log(np.clip(areas, SMALLEST_AREA, 1))
    inputs = np.stack([np.log(clipped), -np.log1p(-clipped), np.ones_like(clipped), sizes], axis=1)  # [N, 4]
    signs = np.where(right, 1.0, -1.0)

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the mean negative log-likelihood and its gradient."""
        margins = signs * (inputs @ numbers)
        chances_of_error = np.exp(-np.logaddexp(0, margins))
        return float(np.logaddexp(0, -margins).mean()), -inputs.T @ (signs * chances_of_error) / len(signs)

    start = np.array([1.0, 1.0, 0.0, area or 0.0])
    bounds = [(0, None), (0, None), (None, None), (area, area)]
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    a, b, offset, fitted_area = map(float, optimum.x)
    if not a + b > 0:
        raise ValueError("expected higher scores to be right more often")
    return BetaCalibration(a, b, offset, fitted_area)
