"""What is wrong with a detector's errors, and what each type of them costs.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020 (arXiv 2008.08115). Its
overlaps are t_f = 0.5, at which an object is found, and t_b = 0.1, under which there is background. By a rule whose
objects are found at overlaps of their own, as ILSVRC's, t_f is that of the object and t_b a fifth of it. All overlaps
are therefore taken as shares of the object's t_f here, `fit`: 1 finds the object, under 0.2 there is background, and
the best object is that of the largest fit.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.average_precision import average_precision
from detection.evaluation.groups import first_largest, is_new
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches, pairs_of_equal
from detection.evaluation.metrics import DetectionMetrics, split_by
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.boxes import paired_iou
from detection.structures.split_columns import SplitDetections, SplitObjects

NO_ERROR, CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(-1, 5)
ERROR_NAMES = ("classification", "localisation", "both", "duplicate", "background", "missed")
"""The types of the constants from 0 on, and objects that were missed."""

BACKGROUND_FIT = 0.2
"""t_b / t_f."""


class Errors(NamedTuple):
    """The errors of N detections and M objects.

    `types` int8 [N], one of the constants of this module; `targets` int64 [N], the object that a detection would find
    with another class or a better box, -1 for none; `missed` bool [M].
    """

    types: NDArray[np.int8]
    targets: IntArray
    missed: BoolArray


class ErrorCost(NamedTuple):
    """How many errors of a type there are, and how much higher mean average precision would be without them."""

    error_count: int
    mean_average_precision: float


class Confusion(NamedTuple):
    """How often objects of one class were taken for another."""

    label: int
    predicted: int
    times: int


class _Best(NamedTuple):
    """The largest fit of each detection with some objects [N], 0 where all are background, and which it is [N]."""

    fit: NDArray[np.float64]
    objects: IntArray


def find_errors(objects: SplitObjects, detections: SplitDetections, matches: Matches) -> Errors:
    """The type of every false positive, and what was missed; see section 2.2 of the paper.

    Several may fit a false positive. The order is that of the authors' code: localisation (its best object of its own
    class is found too badly), classification (it finds one of another class), duplicate (it finds one of its class,
    which is taken), background, and for what is left, both. A missed object is one that was not found and is no target
    of the first two. Objects that are ignored are no one's; an overlap of exactly t_b is no background.
    """
    wrong = np.flatnonzero(matches.outcomes == FALSE_POSITIVE)
    own, other = _best_fits(objects, detections, matches, wrong)
    types = np.full(len(detections), NO_ERROR, np.int8)
    types[wrong] = np.select(
        [
            (own.fit >= BACKGROUND_FIT) & (own.fit < 1),
            other.fit >= 1,
            own.fit >= 1,
            other.fit < BACKGROUND_FIT,
        ],
        [LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND],
        BOTH,
    )
    targets = np.full(len(detections), -1)
    targets[wrong] = np.select(
        [types[wrong] == LOCALISATION, types[wrong] == CLASSIFICATION], [own.objects, other.objects], -1
    )
    missed = ~objects.ignored
    missed[matches.objects[matches.outcomes == TRUE_POSITIVE]] = False
    missed[targets[targets >= 0]] = False
    return Errors(types, targets, missed)


def _best_fits(
    objects: SplitObjects, detections: SplitDetections, matches: Matches, wrong: IntArray
) -> tuple[_Best, _Best]:
    """The best objects of the `wrong` detections, of their own class and of others."""
    counted = np.flatnonzero(~objects.ignored)
    detection_boxes, object_boxes = detections.boxes, objects.boxes
    thresholds = matches.rule.iou_thresholds(object_boxes)
    own, other = (_Best(np.zeros(len(wrong)), np.full(len(wrong), -1)) for _ in range(2))
    for block in pairs_of_equal(detections.images[wrong], objects.images[counted]):
        found, there = wrong[block.places], counted[block.objects]
        iou = paired_iou(detection_boxes[found], object_boxes[there])
        fit = np.divide(iou, thresholds[there], out=np.zeros_like(iou), where=iou > 0)
        same_class = detections.labels[found] == objects.labels[there]
        for best, chosen in ((own, same_class), (other, ~same_class)):
            pairs = np.flatnonzero(chosen & (fit >= BACKGROUND_FIT))
            largest = pairs[first_largest(fit[pairs], np.flatnonzero(is_new(block.places[pairs])))]
            best.fit[block.places[largest]] = fit[largest]
            best.objects[block.places[largest]] = there[largest]
    return own, other


def error_costs(metrics: DetectionMetrics, errors: Errors) -> dict[str, ErrorCost]:
    """The count of each of `ERROR_NAMES`, and what is gained if an oracle mends it alone; see section 2.3 of the paper.

    - Classification, localisation: the detection gets the class or box of its target. Of several detections that find
      an object then, the best is right and the others are dropped, as the paper has it; the authors' code leaves an
      object that was found to the one that found it.
    - Both, duplicate, background: the detection is dropped.
    - Missed: the object does not count. A class of which all objects were missed has no precision that could hold for
      more of them, and keeps 0.

    Average precision is that of the rule in force, with COCO's rule at an IoU of 0.5; the mean is over the classes
    that have objects, always the same.
    """
    matches = metrics.matches
    ranked = matches.order[matches.outcomes[matches.order] != IGNORED]
    labels, right = metrics.detections.labels[ranked], matches.outcomes[ranked] == TRUE_POSITIVE
    types, finds = errors.types[ranked], np.where(right, matches.objects[ranked], errors.targets[ranked])
    before = _mean_average_precision(metrics, labels, right)
    costs = {}
    for error_type, name in enumerate(ERROR_NAMES[:-1]):
        wrong = types == error_type
        now_right, now_labels = right, labels
        if error_type in (CLASSIFICATION, LOCALISATION):
            candidates = np.flatnonzero(right | wrong)
            best = candidates[np.unique(finds[candidates], return_index=True)[1]]
            now_right, now_labels = np.zeros_like(right), labels.copy()
            now_right[best] = True
            now_labels[best] = metrics.objects.labels[finds[best]]
            wrong = (right | wrong) & ~now_right
        after = _mean_average_precision(metrics, now_labels[~wrong], now_right[~wrong])
        costs[name] = ErrorCost(int(np.count_nonzero(types == error_type)), after - before)
    after = _mean_average_precision(metrics, labels, right, missed=errors.missed)
    costs[ERROR_NAMES[-1]] = ErrorCost(int(np.count_nonzero(errors.missed)), after - before)
    return costs


def _mean_average_precision(
    metrics: DetectionMetrics, labels: IntArray, right: BoolArray, *, missed: BoolArray | None = None
) -> float:
    """That of detections [K], best first, of which some are right, without the objects that were `missed` [M]."""
    counts = metrics.ground_truth_counts
    left = counts if missed is None else counts - np.bincount(metrics.objects.labels[missed], minlength=len(counts))
    of_classes = split_by(labels, np.arange(len(labels)), len(counts))
    areas = [
        average_precision(-places.astype(np.float64), right[places], int(count), metrics.matches.rule.recall_levels)
        for places, count, there_are in zip(of_classes, left, counts, strict=True)
        if there_are
    ]
    return float(np.nan_to_num(areas).mean()) if areas else float("nan")


def confusions(
    metrics: DetectionMetrics, errors: Errors, *, score_threshold: float, limit: int | None = None
) -> list[Confusion]:
    """The pairs of classes that detections of a score or above confuse, the most frequent first; ties by label.

    They are the errors of classification among these: a box that finds an object, under the name of another class.
    """
    confused = np.flatnonzero((errors.types == CLASSIFICATION) & (metrics.detections.scores >= score_threshold))
    truth, predicted = metrics.objects.labels[errors.targets[confused]], metrics.detections.labels[confused]
    pairs = sorted(zip(truth.tolist(), predicted.tolist(), strict=True))
    return [Confusion(*pair, count) for pair, count in Counter(pairs).most_common(limit)]
