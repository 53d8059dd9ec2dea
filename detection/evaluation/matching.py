"""Matching of detections with objects by the rules of ILSVRC and PASCAL VOC; `coco_rule` does it by COCO's.

All IoUs are float64. For boxes with whole pixels an IoU is then the double nearest to the true ratio, and so is each
threshold, so that an IoU at exactly the threshold compares as equal.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.groups import is_new, sort_stably
from detection.evaluation.rules import MatchingRule
from detection.structures.arrays import BoolArray, Float64Array, IntArray
from detection.structures.boxes import paired_iou
from detection.structures.split_columns import SplitBoxes, SplitDetections, SplitObjects, xywh_to_corners

FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = 0, 1, 2
PAIRS_AT_ONCE = 1 << 16
"""The number of pairs of a detection and an object whose IoUs are computed together; they fit the processor's cache."""


class Matches(NamedTuple):
    """The result of matching N detections with objects by a rule.

    `order` int64 [N] are the rows of the detections, best first. `outcomes` int8 [N] has for each row `FALSE_POSITIVE`,
    `TRUE_POSITIVE` or `IGNORED`. `objects` int64 [N] has for each row the object that the detection took or because of
    which it is ignored, or -1.
    """

    rule: MatchingRule
    order: IntArray
    outcomes: NDArray[np.int8]
    objects: IntArray


class Pairs(NamedTuple):
    """P pairs of a detection, given by its place in a ranking, and an object; pairs of one place are consecutive."""

    places: IntArray
    objects: IntArray


def match(
    objects: SplitObjects, detections: SplitDetections, rule: MatchingRule, *, unlimited: BoolArray | None = None
) -> Matches:
    """Let the detections take objects of their image and class, best detection first.

    `MatchingRule` describes how. An object is taken at most once, by the first detection for which it is the best free
    object; of equally good objects the first is the best. An IoU of 0 never counts, whatever the threshold.

    Args:
        objects: the M objects.
        detections: the N detections.
        rule: the rule.
        unlimited: objects that several detections may choose, bool [M]; by default those that are ignored.
    """
    order = rank(detections, by_image=rule.ties_by_image)
    keys = image_classes(detections)[order]
    # 1. Pair every detection with the objects that it overlaps enough, in blocks of limited size.
    blocks = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    object_boxes = objects.boxes
    thresholds = rule.iou_thresholds(object_boxes)
    for block in pairs_of_equal(keys, image_classes(objects)):
        detection_boxes = xywh_to_corners(detections.boxes_xywh[order[block.places]])
        iou = paired_iou(detection_boxes, object_boxes[block.objects])
        enough = (iou >= thresholds[block.objects]) & (iou > 0)
        candidates = Pairs(block.places[enough], block.objects[enough])
        blocks.append(_by_preference(candidates, iou[enough], objects.ignored, rule))
    # 2. Choose among the pairs, so that every detection and object is taken once.
    pairs = Pairs(*(np.concatenate(column) for column in zip(*blocks, strict=True)))
    taken = _take_turns(pairs, keys, objects.ignored if unlimited is None else unlimited)
    outcomes = np.zeros(len(detections), np.int8)
    taken_objects = np.full(len(detections), -1)
    rows = order[pairs.places[taken]]
    taken_objects[rows] = pairs.objects[taken]
    outcomes[rows] = np.where(objects.ignored[taken_objects[rows]], IGNORED, TRUE_POSITIVE)
    return Matches(rule, order, outcomes, taken_objects)


def rank(detections: SplitDetections, *, by_image: bool) -> IntArray:
    """Return the rows of the detections by falling score: [N].

    Equal scores rank by image if `by_image` is True, then in the given order.
    """
    order = np.argsort(detections.images, kind="stable") if by_image else np.arange(len(detections))
    return order[sort_stably(-detections.scores[order])]


def image_classes(boxes: SplitBoxes) -> IntArray:
    """Return a number for each of N boxes that is the same for boxes of one image and class: [N]."""
    return boxes.images * len(boxes.index.class_names) + boxes.labels


def pairs_of_equal(keys: IntArray, object_keys: IntArray) -> Iterator[Pairs]:
    """Yield all pairs of a detection and an object with equal keys, by place and then by object, in blocks.

    A block holds all pairs of its detections.

    Args:
        keys: the keys of the detections, for example their image and class, [N].
        object_keys: the keys of the objects, [M].
    """
    by_key = np.argsort(object_keys, kind="stable")
    places = np.flatnonzero(np.isin(keys, object_keys))  # few detections; a bisection would be slower
    known, firsts, key_counts = np.unique(object_keys[by_key], return_index=True, return_counts=True)
    groups = np.searchsorted(known, keys[places])
    first, counts = firsts[groups], key_counts[groups]
    cuts = np.searchsorted(counts.cumsum(), np.arange(PAIRS_AT_ONCE, counts.sum(), PAIRS_AT_ONCE))
    for block in np.split(np.arange(len(places)), cuts):
        repeated = np.repeat(block, counts[block])
        starts = counts[block].cumsum() - counts[block]
        within = np.arange(len(repeated)) - np.repeat(starts, counts[block])
        yield Pairs(places[repeated], by_key[first[repeated] + within])


def _by_preference(pairs: Pairs, iou: Float64Array, ignored: BoolArray, rule: MatchingRule) -> Pairs:
    """Return the pairs of each detection in the order of its preference, or only the best if the rule says so."""
    last = ignored[pairs.objects] if rule.passes_over_taken else np.zeros(len(iou), np.bool_)
    best_first = np.lexsort((-iou, last, pairs.places))
    if not rule.passes_over_taken:
        best_first = best_first[is_new(pairs.places[best_first])]
    return Pairs(pairs.places[best_first], pairs.objects[best_first])


def _take_turns(pairs: Pairs, keys: IntArray, unlimited: BoolArray) -> IntArray:
    """Return the rows of the pairs in which a detection takes its object.

    Only detections of the same image and class compete. So the best detections of all images and classes choose
    together, then the second best of all, and so on.

    Args:
        pairs: the possible pairs, in the order of preference.
        keys: the image and class of each detection, best detection first.
        unlimited: objects that are never used up, bool [M].
    """
    new = is_new(pairs.places)
    turns = _turns(keys[pairs.places[new]])[new.cumsum() - 1]  # [P]
    by_turn = np.argsort(turns, kind="stable")
    bounds = np.searchsorted(turns[by_turn], np.arange(turns.max(initial=-1) + 2))
    taken = np.zeros(len(unlimited), np.bool_)
    chosen = []
    for start, end in pairwise(bounds):
        rows = by_turn[start:end]
        free = rows[~taken[pairs.objects[rows]]]
        best = free[is_new(pairs.places[free])]
        taken[pairs.objects[best]] = ~unlimited[pairs.objects[best]]
        chosen.append(best)
    return np.concatenate([np.zeros(0, np.int64), *chosen])


def _turns(keys: IntArray) -> IntArray:
    """Return the number of equal keys before each key: [P] -> [P]."""
    by_key = np.argsort(keys, kind="stable")
    positions = np.arange(len(keys))
    starts = np.maximum.accumulate(np.where(is_new(keys[by_key]), positions, 0))
    turns = np.zeros(len(keys), np.int64)
    turns[by_key] = positions - starts
    return turns
