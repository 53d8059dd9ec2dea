"""Which detections found an object, for every rule but COCO's.

All overlaps are float64: of boxes at whole pixels they are then the nearest to the true ratio, as the thresholds are,
and an overlap equal to its threshold compares as equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.groups import is_new
from detection.evaluation.rules import MatchingRule
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.boxes import paired_iou
from detection.structures.split_columns import Columns, SplitBoxes, SplitDetections, SplitObjects

FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = 0, 1, 2
PAIRS_AT_ONCE = 1 << 16
"""Pairs of a detection and an object whose overlaps are computed together, few enough for the processor's cache."""


class Matches(NamedTuple):
    """What became of N detections by a rule.

    `order` int64 [N], the detections best first; `outcomes` int8 [N], in the order of the table, one of the constants
    of this module; `objects` int64 [N], the object that each took or was ignored for, -1 for none.
    """

    rule: MatchingRule
    order: IntArray
    outcomes: NDArray[np.int8]
    objects: IntArray


class Pairs(NamedTuple):
    """P detections, as places in a ranking or table, each with an object; those of a place follow each other."""

    places: IntArray
    objects: IntArray


def match(
    objects: SplitObjects, detections: SplitDetections, rule: MatchingRule, *, unlimited: BoolArray | None = None
) -> Matches:
    """Let the detections take objects of their image and class, best first; see `MatchingRule`.

    An object is taken once, by the first that it is the best free object of; the first of equals is the best. Overlaps
    of nothing do not count, whatever the threshold. Of the objects [M], those that are `unlimited` are never taken,
    however many detections choose them; by default all that are ignored.
    """
    order = rank(detections, by_image=rule.ties_by_image)
    keys = image_classes(detections)[order]
    blocks = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    detection_boxes, object_boxes = detections.boxes[order], objects.boxes
    thresholds = rule.iou_thresholds(object_boxes)
    for block in pairs_of_equal(keys, image_classes(objects)):
        iou = paired_iou(detection_boxes[block.places], object_boxes[block.objects])
        enough = (iou >= thresholds[block.objects]) & (iou > 0)
        candidates = Pairs(block.places[enough], block.objects[enough])
        blocks.append(_by_preference(candidates, iou[enough], objects.ignored, rule))
    pairs = Pairs(*(np.concatenate(column) for column in zip(*blocks, strict=True)))
    taken = _take_turns(pairs, keys, objects.ignored if unlimited is None else unlimited)
    outcomes = np.zeros(len(detections), np.int8)
    found = np.full(len(detections), -1)
    rows = order[pairs.places[taken]]
    found[rows] = pairs.objects[taken]
    outcomes[rows] = np.where(objects.ignored[found[rows]], IGNORED, TRUE_POSITIVE)
    return Matches(rule, order, outcomes, found)


def rank(detections: SplitDetections, *, by_image: bool) -> IntArray:
    """The detections by falling score [N]; equal ones by image if so asked, then in the order given."""
    order = np.argsort(detections.images, kind="stable") if by_image else np.arange(len(detections))
    ranked: IntArray = order[np.argsort(-detections.scores[order], kind="stable")]
    return ranked


def image_classes(table: SplitBoxes) -> IntArray:
    """A number for each image and class, of every row of a table."""
    return table.images * len(table.index.class_names) + table.labels


def pairs_of_equal(keys: IntArray, object_keys: IntArray) -> Iterator[Pairs]:
    """All pairs of equal keys, such as image and class, of N detections and M objects: by place, then by object.

    They come in blocks, each of which holds all pairs of its detections.
    """
    by_key = np.argsort(object_keys, kind="stable")
    places = np.flatnonzero(np.isin(keys, object_keys))  # few, and found sooner than by bisection
    first = np.searchsorted(object_keys[by_key], keys[places], "left")
    counts = np.searchsorted(object_keys[by_key], keys[places], "right") - first
    cuts = np.searchsorted(counts.cumsum(), np.arange(PAIRS_AT_ONCE, counts.sum(), PAIRS_AT_ONCE))
    for block in np.split(np.arange(len(places)), cuts):
        repeated = np.repeat(block, counts[block])
        starts = counts[block].cumsum() - counts[block]
        within = np.arange(len(repeated)) - np.repeat(starts, counts[block])
        yield Pairs(places[repeated], by_key[first[repeated] + within])


def _by_preference(pairs: Pairs, iou: Columns, ignored: BoolArray, rule: MatchingRule) -> Pairs:
    """The pairs in the order in which each detection would have them; without further choices, only the first."""
    last = ignored[pairs.objects] if rule.passes_over_taken else np.zeros(len(iou), np.bool_)
    best_first = np.lexsort((-iou, last, pairs.places))
    if not rule.passes_over_taken:
        best_first = best_first[is_new(pairs.places[best_first])]
    return Pairs(pairs.places[best_first], pairs.objects[best_first])


def _take_turns(pairs: Pairs, keys: IntArray, unlimited: BoolArray) -> IntArray:
    """Rows of the pairs that come about.

    Detections of one image and class wait for each other, those of others do not: the first of each take their turn
    together, then the second of each, and so on.
    """
    new = is_new(pairs.places)
    turns = _turns(keys[pairs.places[new]])[new.cumsum() - 1]  # of each pair
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
    """How many equal keys come before each: [P] -> [P]."""
    by_key = np.argsort(keys, kind="stable")
    positions = np.arange(len(keys))
    starts = np.maximum.accumulate(np.where(is_new(keys[by_key]), positions, 0))
    turns = np.zeros(len(keys), np.int64)
    turns[by_key] = positions - starts
    return turns
