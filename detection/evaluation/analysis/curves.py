"""Precision and recall against the score: curves to draw, and the best place to cut a ranking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.average_precision import precision_recall
from detection.evaluation.groups import first_largest, is_new
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics, Ranking
from detection.structures.arrays import BoolArray, IntArray

CURVE_POINTS = 100
"""So many points of a curve are kept."""


class Curve(NamedTuple):
    """Precision and recall of the P best 1, ..., N detections, and the scores of the last of each: float64 [P]."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]


class OperatingPoint(NamedTuple):
    """What detections of `score_threshold` or above are worth; nan where nothing was detected or there is no object."""

    score_threshold: float
    f1: float
    precision: float
    recall: float


def precision_recall_curve(ranking: Ranking, *, most_points: int = CURVE_POINTS) -> Curve:
    """The curve of a class, thinned; without points if there are no objects.

    The first and the last detection stay, and between them the one of the best precision in each of equal steps of
    recall. So the envelope is the same where a step begins, and the area under it smaller by less than a step.

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


def _best_of_steps(precision: NDArray[np.float64], found: IntArray, steps: int) -> IntArray:
    """The rows of the best precision in each step of what is `found`, with the first and the last row."""
    step = found * steps // (found[-1] + 1)
    best = first_largest(precision, np.flatnonzero(is_new(step)))
    rows: IntArray = np.unique([0, *best, len(found) - 1])
    return rows


def best_f1(scores: NDArray[np.float64], true_positive: BoolArray, object_count: int) -> OperatingPoint:
    """Where precision and recall of N detections, best first, have the largest harmonic mean.

    F1 = 2 TP / (2 TP + FP + FN): van Rijsbergen, "Information Retrieval", 1979, chapter 7. A threshold takes all
    detections of its score or none; of equally good ones it is the highest.
    """
    if not len(scores) or not object_count:
        return OperatingPoint(*[float("nan")] * 4)
    ends = np.flatnonzero(is_new(scores[::-1])[::-1])
    found = true_positive.cumsum()[ends]
    f1 = 2 * found / (ends + 1 + object_count)
    best = int(f1.argmax())
    precision, recall = found[best] / (ends[best] + 1), found[best] / object_count
    return OperatingPoint(float(scores[ends[best]]), float(f1[best]), float(precision), float(recall))


def best_f1_overall(metrics: DetectionMetrics) -> OperatingPoint:
    """The one threshold for all classes that is best for all detections and objects together."""
    matches = metrics.matches
    counted = matches.order[matches.outcomes[matches.order] != IGNORED]
    scores, hits = metrics.detections.scores[counted], matches.outcomes[counted] == TRUE_POSITIVE
    return best_f1(scores, hits, int(metrics.ground_truth_counts.sum()))


def best_f1_by_class(metrics: DetectionMetrics) -> list[OperatingPoint]:
    """The best threshold of each class, with COCO's rule at an IoU of 0.5."""
    of_classes = (rankings[0] for rankings in metrics.rankings)
    return [best_f1(one.scores, one.true_positive, len(one.object_images)) for one in of_classes]
