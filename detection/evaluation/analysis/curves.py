"""Precision-recall curves for plots, and the score threshold with the best F1."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.average_precision import precision_recall
from detection.evaluation.groups import first_largest, is_new
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics, Ranking
from detection.structures.arrays import BoolArray, IntArray

CURVE_POINTS = 100
"""The largest number of points of a curve."""


class Curve(NamedTuple):
    """P points of a curve: recall, precision, and the score from which on detections are counted, float64 [P] each."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]


class OperatingPoint(NamedTuple):
    """The quality of detections with a score of at least `score_threshold`; nan without detections or objects."""

    score_threshold: float
    f1: float
    precision: float
    recall: float


def precision_recall_curve(ranking: Ranking, *, most_points: int = CURVE_POINTS) -> Curve:
    """Return the curve of a class with at most `most_points` points, or without points if there are no objects.

    If there are more detections, the curve keeps the first, the last, and the detection with the best precision in each
    of equal steps of recall. Its envelope is exact at the beginning of each step, and the area under it is smaller by
    less than one step.

    Raises:
        ValueError: if fewer than 3 points are asked for.
    """
    if most_points < 3:
        raise ValueError(f"most_points must be 3 or more, got {most_points}")
    precision, recall = precision_recall(ranking.scores, ranking.true_positive, len(ranking.object_images))
    rows = np.arange(len(precision)) if len(ranking.object_images) else np.zeros(0, np.int64)
    if len(rows) > most_points:
        rows = _best_of_steps(precision, ranking.true_positive.cumsum(), most_points - 2)
    return Curve(recall[rows], precision[rows], ranking.scores[rows])


def _best_of_steps(precision: NDArray[np.float64], found_counts: IntArray, steps: int) -> IntArray:
    """Return the rows with the best precision in each step of the number of found objects, and the ends."""
    step = found_counts * steps // (found_counts[-1] + 1)
    best = first_largest(precision, np.flatnonzero(is_new(step)))
    return np.unique([0, *best, len(found_counts) - 1])


def best_f1(scores: NDArray[np.float64], true_positive: BoolArray, object_count: int) -> OperatingPoint:
    """Return the score threshold at which precision and recall have the largest harmonic mean, F1.

    F1 = 2 TP / (2 TP + FP + FN): van Rijsbergen, "Information Retrieval", 1979, chapter 7. Of equally good thresholds,
    the highest is returned.

    Args:
        scores: the scores of N detections, best first.
        true_positive: True for detections that found an object, [N].
        object_count: the number of objects.
    """
    if not len(scores) or not object_count:
        return OperatingPoint(*[float("nan")] * 4)
    ends = np.flatnonzero(is_new(scores[::-1])[::-1])  # a threshold includes all detections of equal score
    found_counts = true_positive.cumsum()[ends]
    f1 = 2 * found_counts / (ends + 1 + object_count)
    best = int(f1.argmax())
    precision, recall = found_counts[best] / (ends[best] + 1), found_counts[best] / object_count
    return OperatingPoint(float(scores[ends[best]]), float(f1[best]), float(precision), float(recall))


def best_f1_overall(metrics: DetectionMetrics) -> OperatingPoint:
    """Return the best single threshold for all classes, by F1 over all detections and objects together."""
    matches = metrics.matches
    counted = matches.order[matches.outcomes[matches.order] != IGNORED]
    scores, hits = metrics.detections.scores[counted], matches.outcomes[counted] == TRUE_POSITIVE
    return best_f1(scores, hits, int(metrics.ground_truth_counts.sum()))


def best_f1_by_class(metrics: DetectionMetrics) -> list[OperatingPoint]:
    """Return the best threshold of each class; with COCO's rule at an IoU of 0.5."""
    firsts = (rankings[0] for rankings in metrics.rankings)
    return [best_f1(ranking.scores, ranking.true_positive, len(ranking.object_images)) for ranking in firsts]
