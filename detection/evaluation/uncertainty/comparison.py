"""The comparison of two results on the same split, with intervals of their difference."""

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
    """The difference of a second result from a first, for each of C classes and in the mean.

    Args:
        class_names: the names of the classes.
        first: the mean average precision of the first result.
        second: the mean average precision of the second result.
        interval: the interval of `difference`.
        share_better: the share of the resamples in which the second result has the higher mean.
        differences: the differences in average precision, float64 [C], nan for a class without objects.
        class_intervals: the intervals of `differences`.
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
        """The mean average precision of the second result minus that of the first."""
        return self.second - self.first

    @property
    def certain(self) -> BoolArray:
        """True for classes [C] whose interval excludes 0; if there are many classes, some do by chance alone."""
        return np.array([interval.low > 0 or interval.high < 0 for interval in self.class_intervals], np.bool_)


def compare(first: DetectionMetrics, second: DetectionMetrics, draws: FloatArray) -> Comparison:
    """Compare two results on the same resamples of images (the paired bootstrap).

    Args:
        first: the first result.
        second: the second result.
        draws: the resamples, from `draw_images`.

    Raises:
        ValueError: if the results are not for the same images, classes, objects and rule.
    """
    _require_same_split(first, second)
    resampled = [resampled_average_precision(metrics, draws) for metrics in (first, second)]
    differences = resampled[1] - resampled[0]  # [C, B]
    mean_differences = nan_mean(resampled[1]) - nan_mean(resampled[0])  # [B]
    known = mean_differences[~np.isnan(mean_differences)]
    means = first.mean_average_precision, second.mean_average_precision
    class_differences = second.average_precision - first.average_precision
    return Comparison(
        class_names=first.class_names,
        first=means[0],
        second=means[1],
        interval=unbiased_interval(mean_differences, means[1] - means[0], CONFIDENCE),
        share_better=float((known > 0).mean()) if known.size else float("nan"),
        differences=class_differences,
        class_intervals=[
            unbiased_interval(values, estimate, CONFIDENCE)
            for values, estimate in zip(differences, class_differences.tolist(), strict=True)
        ],
    )


def _require_same_split(first: DetectionMetrics, second: DetectionMetrics) -> None:
    if first.rule != second.rule:
        raise ValueError(f"expected two results by the same rule, got {first.rule} and {second.rule}")
    if not first.objects.index.same_as(second.objects.index):
        raise ValueError("expected two results on the same images and classes, got different ones")
    columns = ("images", "labels", "boxes_xywh", "ignored")
    if not all(np.array_equal(getattr(first.objects, name), getattr(second.objects, name)) for name in columns):
        raise ValueError("expected two results on the same objects, got different ones")
