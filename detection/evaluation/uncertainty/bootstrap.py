"""How far average precision would vary over other images of the same kind: the bootstrap over images.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13 (percentile intervals): images are
drawn anew from those of the split, as many with replacement, so that one may count several times or not at all. Two
results are compared on the same draws.

Average precision is an average of maxima, which the fewer different images of a resample make larger: with few objects
a class, nearly all resamples may lie above the score. So the intervals are moved by that bias (chapter 10).
"""

from __future__ import annotations

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
"""Bounds the memory, and keeps what is added up in the processor's cache."""


class Interval(NamedTuple):
    """The interval of a figure, nan where it could not be measured."""

    low: float
    high: float


class Intervals(NamedTuple):
    """The intervals of mean average precision and of the average precision of each of the C classes."""

    mean_average_precision: Interval
    average_precision: list[Interval]


def draw_images(image_count: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> FloatArray:
    """How often each image is in each resample: float32 [I, B], whole numbers."""
    generator = np.random.default_rng(seed)
    counts = np.empty((image_count, resamples), np.float32)
    for column in range(resamples):
        counts[:, column] = np.bincount(generator.integers(image_count, size=image_count), minlength=image_count)
    return counts


def resampled_average_precision(metrics: DetectionMetrics, draws: FloatArray) -> NDArray[np.float64]:
    """The average precision of each class in each resample of `draw_images`: [C, B], nan where it has no objects."""
    resampled = np.empty((len(metrics.rankings), draws.shape[1]))
    for start in range(0, draws.shape[1], RESAMPLES_AT_ONCE):
        block = slice(start, start + RESAMPLES_AT_ONCE)
        of_block = np.ascontiguousarray(draws[:, block])
        for label, rankings in enumerate(metrics.rankings):
            samples = [_resample(one, of_block, metrics.recall_levels) for one in rankings]
            resampled[label, block] = np.mean(samples, axis=0)
    return resampled


def bootstrap_intervals(metrics: DetectionMetrics, draws: FloatArray, *, confidence: float = CONFIDENCE) -> Intervals:
    """The intervals of a result, as wide as the middle share `confidence` of the resamples, within 0-1.

    A resample of which a class has no objects is left out of that class's interval, and the class out of its mean.
    """
    resampled = resampled_average_precision(metrics, draws)
    of_mean = unbiased_interval(nan_mean(resampled), metrics.mean_average_precision, confidence)
    pairs = zip(resampled, metrics.average_precision.tolist(), strict=True)
    of_classes = [unbiased_interval(values, estimate, confidence) for values, estimate in pairs]
    return Intervals(within_0_1(of_mean), [within_0_1(one) for one in of_classes])


def unbiased_interval(values: NDArray[np.float64], estimate: float, confidence: float) -> Interval:
    """The middle share `confidence` of the values [B] that are not nan, moved so that their mean is the `estimate`."""
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    outside = 50 * (1 - confidence)
    low, high = np.percentile(known, [outside, 100 - outside]) + (estimate - known.mean())
    return Interval(float(low), float(high))


def within_0_1(interval: Interval) -> Interval:
    """The part of an interval in which a precision can be."""
    return Interval(*np.clip(interval, 0, 1).tolist())


def nan_mean(average_precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means [B] of [C, B] over the classes that are not nan, nan where all are."""
    means: NDArray[np.float64] = np.ma.masked_invalid(average_precision).mean(axis=0).filled(np.nan)
    return means


def _resample(ranking: Ranking, draws: FloatArray, recall_levels: Sequence[float] | None) -> NDArray[np.float64]:
    """The average precision of a class in each resample: [B].

    Only at its true positives does a ranking gain anything, so their precisions, T of them, are all that is needed; an
    image drawn k times brings each of its detections k times, right behind each other.
    """
    object_counts = _sum_rows(ranking.object_images, np.array([0, len(ranking.object_images)]), draws)[0]  # [B]
    hits = np.flatnonzero(ranking.true_positive)
    weights = draws[ranking.images[hits]].astype(np.float64)  # [T, B]
    found = weights.cumsum(axis=0)
    misses = np.flatnonzero(~ranking.true_positive)
    bounds = np.concatenate([[0], np.searchsorted(misses, hits)])  # between one true positive and the next
    wrong = _sum_rows(ranking.images[misses], bounds, draws).cumsum(axis=0)  # [T, B]
    precision = np.divide(found, found + wrong, out=np.zeros_like(found), where=found > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    counted = object_counts > 0
    recall = np.divide(found, object_counts, out=np.zeros_like(found), where=counted)
    if recall_levels is not None:
        recall = np.searchsorted(recall_levels, recall, side="right") / len(recall_levels)  # share of levels reached
    gains = np.diff(recall, axis=0, prepend=0)
    return np.where(counted, (envelope * gains).sum(axis=0), np.nan)


def _sum_rows(images: NDArray[np.int64], bounds: NDArray[np.int64], draws: FloatArray) -> NDArray[np.float64]:
    """The draws of `images[bounds[i]:bounds[i + 1]]`, added up for each i: [len(bounds) - 1, B]."""
    from scipy.sparse import csr_array  # noqa: PLC0415  slow to import

    chosen = images[: bounds[-1]]
    ones = np.ones(len(chosen), np.float32)
    rows = csr_array((ones, chosen, bounds), shape=(len(bounds) - 1, len(draws)))
    summed: NDArray[np.float64] = (rows @ draws).astype(np.float64)
    return summed
