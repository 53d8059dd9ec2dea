"""Intervals of average precision over other images of the same kind, by the bootstrap over images.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13 (percentile intervals). A resample
draws as many images from the split as it has, with replacement, so that an image may occur several times or not at all.
`comparison` compares two results on the same resamples.

Average precision is an average of maxima, which become larger as a resample has fewer different images: with few
objects per class, nearly all resamples may lie above the score. The intervals are shifted by this bias (chapter 10).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.metrics import DetectionMetrics, Ranking
from detection.structures.arrays import FloatArray

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0
RESAMPLES_AT_ONCE = 128
"""The number of resamples that are computed together, which limits the memory and fits the processor's cache."""


class Interval(NamedTuple):
    """The ends of the interval of a figure, nan where the figure could not be measured."""

    low: float
    high: float


class Intervals(NamedTuple):
    """The intervals of mean average precision and of the average precision of each of the C classes."""

    mean_average_precision: Interval
    average_precision: list[Interval]


def draw_images(image_count: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> FloatArray:
    """Return how often each of I images occurs in each of B resamples: float32 [I, B], whole numbers."""
    generator = np.random.default_rng(seed)
    counts = np.empty((image_count, resamples), np.float32)
    for column in range(resamples):
        counts[:, column] = np.bincount(generator.integers(image_count, size=image_count), minlength=image_count)
    return counts


def resampled_average_precision(metrics: DetectionMetrics, draws: FloatArray) -> NDArray[np.float64]:
    """Return the average precision of each class in each resample of `draw_images`: [C, B], nan without objects."""
    resampled = np.empty((len(metrics.rankings), draws.shape[1]))
    for start in range(0, draws.shape[1], RESAMPLES_AT_ONCE):
        block = slice(start, start + RESAMPLES_AT_ONCE)
        block_draws = np.ascontiguousarray(draws[:, block])
        for label, rankings in enumerate(metrics.rankings):
            samples = [_resample(ranking, block_draws, metrics.recall_levels) for ranking in rankings]
            resampled[label, block] = np.mean(samples, axis=0)
    return resampled


def bootstrap_intervals(metrics: DetectionMetrics, draws: FloatArray, *, confidence: float = CONFIDENCE) -> Intervals:
    """Return the intervals of a result, which span the middle share `confidence` of the resamples, within 0-1.

    If a class has no objects in a resample, the interval of the class leaves out the resample, and the mean of the
    resample leaves out the class.
    """
    resampled = resampled_average_precision(metrics, draws)
    mean_interval = unbiased_interval(nan_mean(resampled), metrics.mean_average_precision, confidence)
    pairs = zip(resampled, metrics.average_precision.tolist(), strict=True)
    class_intervals = [unbiased_interval(values, estimate, confidence) for values, estimate in pairs]
    return Intervals(within_0_1(mean_interval), [within_0_1(interval) for interval in class_intervals])


def unbiased_interval(values: NDArray[np.float64], estimate: float, confidence: float) -> Interval:
    """Return the interval of the middle share `confidence` of values [B], shifted so that their mean is `estimate`.

    Values that are nan are left out.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    outside = 50 * (1 - confidence)
    low, high = np.percentile(known, [outside, 100 - outside]) + (estimate - known.mean())
    return Interval(float(low), float(high))


def within_0_1(interval: Interval) -> Interval:
    """Return the part of an interval that lies in 0-1, the range of a precision."""
    return Interval(*np.clip(interval, 0, 1).tolist())


def nan_mean(average_precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means [B] of [C, B] over the classes that are not nan, or nan where all classes are nan."""
    return np.asarray(np.ma.masked_invalid(average_precision).mean(axis=0).filled(np.nan))


def _resample(ranking: Ranking, draws: FloatArray, recall_levels: Sequence[float] | None) -> NDArray[np.float64]:
    """Return the average precision of one class in each resample: [B].

    The area under the curve only grows at true positives, so the precision is computed at these T rows alone. An image
    that is drawn k times contributes each of its detections k times, one right behind the other.
    """
    object_counts = _sum_rows(ranking.object_images, np.array([0, len(ranking.object_images)]), draws)[0]  # [B]
    hits = np.flatnonzero(ranking.true_positive)
    weights = draws[ranking.images[hits]].astype(np.float64)  # [T, B]
    true_positives = weights.cumsum(axis=0)
    misses = np.flatnonzero(~ranking.true_positive)
    # False positives are summed up between one true positive and the next.
    bounds = np.concatenate([[0], np.searchsorted(misses, hits)])
    false_positives = _sum_rows(ranking.images[misses], bounds, draws).cumsum(axis=0)  # [T, B]
    precision = np.divide(
        true_positives, true_positives + false_positives, out=np.zeros_like(true_positives), where=true_positives > 0
    )
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    counted = object_counts > 0
    recall = np.divide(true_positives, object_counts, out=np.zeros_like(true_positives), where=counted)
    if recall_levels is not None:
        recall = np.searchsorted(recall_levels, recall, side="right") / len(recall_levels)
    gains = np.diff(recall, axis=0, prepend=0)
    return np.where(counted, (envelope * gains).sum(axis=0), np.nan)


def _sum_rows(images: NDArray[np.int64], bounds: NDArray[np.int64], draws: FloatArray) -> NDArray[np.float64]:
    """Return the sums of the draws of `images[bounds[i]:bounds[i + 1]]` for each i: [len(bounds) - 1, B]."""
    from scipy.sparse import csr_array  # noqa: PLC0415  slow to import

    chosen = images[: bounds[-1]]
    ones = np.ones(len(chosen), np.float32)
    rows = csr_array((ones, chosen, bounds), shape=(len(bounds) - 1, len(draws)))
    return np.asarray(rows @ draws, np.float64)
