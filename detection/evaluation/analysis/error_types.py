"""The types of a detector's errors, and how much mean average precision each type costs.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020 (arXiv 2008.08115). TIDE has
two IoU thresholds: from t_f = 0.5 on an object is found, and below t_b = 0.1 a detection shows background. The rule of
ILSVRC has a threshold for each object; there t_f is this threshold and t_b a fifth of it. So all IoUs are divided by
the object's t_f here. The result is called `fit`: from 1 on the object is found, below 0.2 there is background, and the
best object of a detection is the one with the largest fit.
"""

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
"""The names of the constants from 0 on, and of missed objects."""

BACKGROUND_FIT = 0.2
"""The ratio t_b / t_f."""


class Errors(NamedTuple):
    """The errors of N detections and M objects.

    `types` int8 [N] are constants of this module. `targets` int64 [N] are the objects that the detections would find
    with another class or a better box, or -1. `missed` bool [M] is True for objects that were missed.
    """

    types: NDArray[np.int8]
    targets: IntArray
    missed: BoolArray


class ErrorCost(NamedTuple):
    """The number of errors of a type, and the increase of mean average precision if they did not occur."""

    error_count: int
    mean_average_precision: float


class Confusion(NamedTuple):
    """The number of times that objects of class `label` were detected as class `predicted`."""

    label: int
    predicted: int
    times: int


class _Best(NamedTuple):
    """The largest fit of each detection [N], 0 where it only shows background, and the object with this fit [N]."""

    fit: NDArray[np.float64]
    objects: IntArray


def find_errors(objects: SplitObjects, detections: SplitDetections, matches: Matches) -> Errors:
    """Return the type of every false positive, and the missed objects; see section 2.2 of the paper.

    Where several types apply, the first of this order is taken, as in the authors' code: localisation (the box is too
    far off an object of its class), classification (the box finds an object of another class), duplicate (the box finds
    an object of its class that another detection found), background, and for all others both. An object is missed if no
    detection found it and it is no target of the first two types. Ignored objects take no part. An IoU of exactly t_b
    is not background.
    """
    wrong = np.flatnonzero(matches.outcomes == FALSE_POSITIVE)
    own, other = _best_fits(objects, detections, matches, wrong)
    types = np.full(len(detections), NO_ERROR, np.int8)
    types[wrong] = np.select(
        [(own.fit >= BACKGROUND_FIT) & (own.fit < 1), other.fit >= 1, own.fit >= 1, other.fit < BACKGROUND_FIT],
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
    """Return the best objects of the `wrong` detections, among objects of their own class and of other classes."""
    counted = np.flatnonzero(~objects.ignored)
    detection_boxes, object_boxes = detections.boxes, objects.boxes
    thresholds = matches.rule.iou_thresholds(object_boxes)
    own, other = (_Best(np.zeros(len(wrong)), np.full(len(wrong), -1)) for _ in range(2))
    for block in pairs_of_equal(detections.images[wrong], objects.images[counted]):
        rows, targets = wrong[block.places], counted[block.objects]
        iou = paired_iou(detection_boxes[rows], object_boxes[targets])
        fit = np.divide(iou, thresholds[targets], out=np.zeros_like(iou), where=iou > 0)
        same_class = detections.labels[rows] == objects.labels[targets]
        for best, chosen in ((own, same_class), (other, ~same_class)):
            pairs = np.flatnonzero(chosen & (fit >= BACKGROUND_FIT))
            largest = pairs[first_largest(fit[pairs], np.flatnonzero(is_new(block.places[pairs])))]
            best.fit[block.places[largest]] = fit[largest]
            best.objects[block.places[largest]] = targets[largest]
    return own, other


def error_costs(metrics: DetectionMetrics, errors: Errors) -> dict[str, ErrorCost]:
    """Return for each of `ERROR_NAMES` the number of errors, and the gain if only this type were corrected.

    This is section 2.3 of the paper. The types are corrected as follows:

    - Classification, localisation: the detection gets the class or box of its target. If several detections then find
      the same object, the best of them is right and the others are dropped, as in the paper. The authors' code instead
      keeps the detection that found the object before.
    - Both, duplicate, background: the detection is dropped.
    - Missed: the object is not counted. A class of which all objects were missed keeps an average precision of 0.

    Average precision is computed by the rule of the metrics, with COCO's rule at an IoU of 0.5. The mean is always over
    the classes that have objects.
    """
    matches = metrics.matches
    ranked = matches.order[matches.outcomes[matches.order] != IGNORED]
    labels, right = metrics.detections.labels[ranked], matches.outcomes[ranked] == TRUE_POSITIVE
    types, targets = errors.types[ranked], np.where(right, matches.objects[ranked], errors.targets[ranked])
    before = _mean_average_precision(metrics, labels, right)
    costs = {}
    for error_type, name in enumerate(ERROR_NAMES[:-1]):
        wrong = types == error_type
        corrected, corrected_labels = right, labels
        if error_type in (CLASSIFICATION, LOCALISATION):
            candidates = np.flatnonzero(right | wrong)
            best = candidates[np.unique(targets[candidates], return_index=True)[1]]
            corrected, corrected_labels = np.zeros_like(right), labels.copy()
            corrected[best] = True
            corrected_labels[best] = metrics.objects.labels[targets[best]]
            wrong = (right | wrong) & ~corrected
        after = _mean_average_precision(metrics, corrected_labels[~wrong], corrected[~wrong])
        costs[name] = ErrorCost(int(np.count_nonzero(types == error_type)), after - before)
    after = _mean_average_precision(metrics, labels, right, missed=errors.missed)
    costs[ERROR_NAMES[-1]] = ErrorCost(int(np.count_nonzero(errors.missed)), after - before)
    return costs


def _mean_average_precision(
    metrics: DetectionMetrics, labels: IntArray, right: BoolArray, *, missed: BoolArray | None = None
) -> float:
    """Return the mean average precision of K detections, best first, without the `missed` objects [M]."""
    counts = remaining = metrics.ground_truth_counts
    if missed is not None:
        remaining = counts - np.bincount(metrics.objects.labels[missed], minlength=len(counts))
    class_places = split_by(labels, np.arange(len(labels)), len(counts))
    areas = [
        average_precision(-places.astype(np.float64), right[places], int(count), metrics.matches.rule.recall_levels)
        for places, count, original_count in zip(class_places, remaining, counts, strict=True)
        if original_count
    ]
    return float(np.nan_to_num(areas).mean()) if areas else float("nan")


def confusions(
    metrics: DetectionMetrics, errors: Errors, *, score_threshold: float, limit: int | None = None
) -> list[Confusion]:
    """Return the pairs of classes that are confused, the most frequent first; equal counts are in the order of labels.

    These are the errors of type classification among the detections with a score of at least `score_threshold`: boxes
    that find an object, but with another class.
    """
    confused = np.flatnonzero((errors.types == CLASSIFICATION) & (metrics.detections.scores >= score_threshold))
    truth, predicted = metrics.objects.labels[errors.targets[confused]], metrics.detections.labels[confused]
    pairs = sorted(zip(truth.tolist(), predicted.tolist(), strict=True))
    return [Confusion(*pair, count) for pair, count in Counter(pairs).most_common(limit)]
