"""Two results on one split: how far apart they are, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import (
    CONFIDENCE,
    Interval,
    nan_mean,
    resampled_average_precision,
    unbiased_interval,
)
from detection.structures.arrays import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a second result has over a first, for each of C classes and in the mean.

    `differences` float64 [C] of average precision, nan for a class without objects; `class_intervals` are theirs.
    `share_better` is the share of the resamples in which the second has the higher mean.
    """

    class_names: tuple[str, ...]
    first: float
    second: float
    interval: Interval
    share_better: float
    differences: NDArray[np.float64]
    class_intervals: list[Interval]

    @property
    def difference(self) -> float:
        """Of the mean average precisions, the second less the first."""
        return self.second - self.first

    @property
    def certain(self) -> BoolArray:
        """True for classes [C] whose interval excludes 0; if there are many classes, some do by chance alone."""
        return np.array([interval.low > 0 or interval.high < 0 for interval in self.class_intervals], np.bool_)


def compare(
    first: DetectionMetrics, second: DetectionMetrics, draws: FloatArray, *, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare two results on the same draws of images (`draw_images`): the paired bootstrap.

    Raises:
        ValueError: if they are not of the same images, classes, objects and rule.
    """
    _require_same_split(first, second)
    resampled = [resampled_average_precision(one, draws) for one in (first, second)]
    differences = resampled[1] - resampled[0]  # [C, B]
    of_means = nan_mean(resampled[1]) - nan_mean(resampled[0])
    known = of_means[~np.isnan(of_means)]
    means = first.mean_average_precision, second.mean_average_precision
    of_classes = second.average_precision - first.average_precision
    return Comparison(
        class_names=first.class_names,
        first=means[0],
        second=means[1],
        interval=unbiased_interval(of_means, means[1] - means[0], confidence),
        share_better=float((known > 0).mean()) if known.size else float("nan"),
        differences=of_classes,
        class_intervals=[
            unbiased_interval(values, estimate, confidence)
            for values, estimate in zip(differences, of_classes.tolist(), strict=True)
        ],
    )


def _require_same_split(first: DetectionMetrics, second: DetectionMetrics) -> None:
    if first.rule != second.rule:
        raise ValueError(f"expected two results by the same rule, got {first.rule} and {second.rule}")
    if not first.objects.index.same_as(second.objects.index):
        raise ValueError("expected two results on the same images and classes, got others")
    columns = ("images", "labels", "boxes_xywh", "ignored")
    if not all(np.array_equal(getattr(first.objects, name), getattr(second.objects, name)) for name in columns):
        raise ValueError("expected two results on the same objects, got others")
