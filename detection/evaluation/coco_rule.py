"""COCO's rule, with the figures of `COCOeval` of pycocotools to the last digit.

It averages over 10 IoU thresholds from 0.5 to 0.95 and 101 recall levels, takes crowds into account, and scores at most
100 detections of a class in an image. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches, rank
from detection.evaluation.metrics import DetectionMetrics, Ranking, split_by
from detection.evaluation.rules import COCO_AT_HALF, HUNDREDTHS
from detection.runtime.second_process import call_compiled
from detection.structures.arrays import BoolArray, Float64Array, IntArray
from detection.structures.object_sizes import MEDIUM_AREA, SMALL_AREA
from detection.structures.split_columns import SplitDetections, SplitObjects

LOOPS = "detection.evaluation.loops.coco"

Bits = NDArray[np.uint64]

IOU_THRESHOLDS: Float64Array = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds, with the rounding of pycocotools."""

AREA_RANGES: Float64Array = np.array([[0, 1e10], [0, SMALL_AREA], [SMALL_AREA, MEDIUM_AREA], [MEDIUM_AREA, 1e10]])
"""The smallest and the largest area of objects of any size, and of small, medium and large ones, in square pixels."""

EVERY_SETTING = np.uint64((1 << len(IOU_THRESHOLDS) * len(AREA_RANGES)) - 1)
"""The bits of all settings; setting `threshold * A + range` has a bit, of T IoU thresholds and A ranges of areas."""

ANY_SIZE = 0
"""The position of the range of objects of any size."""

SIZES = ("small", "medium", "large")
"""The names of the other ranges."""

AT_HALF = 0
"""The position of the IoU threshold of 0.5."""

MOST_DETECTIONS = 100
"""The largest number of detections of a class in an image; the best of them are scored."""

DETECTION_LIMITS = (1, 10, MOST_DETECTIONS)
"""The numbers of detections of a class in an image that recall is measured with."""


class _Ranked(NamedTuple):
    """The N detections that are scored, sorted by class and best first within a class, and the objects that they take.

    `rows` int64 [N] are their rows, `starts` int64 [C + 1] the first of each class and the number of all, and `places`
    int64 [N] the numbers of better detections of the same image and class. `matched` and `ignored`, both uint64 [N],
    have bit `threshold * A + range` if a detection takes an object, or does not count, with this one of T IoU
    thresholds and of A ranges of areas. `objects` int64 [N] are those that are taken at an IoU of 0.5, of objects of
    any size, or -1.
    """

    rows: IntArray
    starts: IntArray
    places: IntArray
    matched: Bits
    ignored: Bits
    objects: IntArray


def score_by_coco(objects: SplitObjects, detections: SplitDetections) -> DetectionMetrics:
    """Score detections by COCO's rule.

    `details` has the figures of the summary of pycocotools, with nan in place of -1. Ignored objects of other data sets
    than COCO are treated as crowds.
    """
    order = _rank(detections)
    ranked = _take_objects(objects, detections, order)
    counts = _count_objects(objects)  # [A, C]
    precision = _precision(ranked, counts)
    recalls = {limit: _recall(ranked, counts, limit) for limit in DETECTION_LIMITS}
    counted = counts[ANY_SIZE] > 0
    return DetectionMetrics(
        rule="coco",
        average_precision=np.where(counted, precision[ANY_SIZE].mean(axis=(0, 1)), np.nan),
        recall=np.where(counted, recalls[MOST_DETECTIONS][ANY_SIZE].mean(axis=0), np.nan),
        ground_truth_counts=counts[ANY_SIZE],
        rankings=_rankings(objects, detections, ranked),
        recall_levels=HUNDREDTHS,
        objects=replace(objects, ignored=objects.crowd),
        detections=detections,
        matches=_matches_at_half(ranked, order),
        details=_summarize(precision, recalls),
    )


def _rank(detections: SplitDetections) -> IntArray:
    """Return the rows of the detections, best first: [N]; equal scores rank by the identifier of the image."""
    ranks = np.argsort(np.argsort(detections.index.coco_image_ids))
    return rank(replace(detections, images=ranks[detections.images]), by_image=True)


def _take_objects(objects: SplitObjects, detections: SplitDetections, order: IntArray) -> _Ranked:
    """Let the detections, whose rows in `order` are best first, take objects in all settings."""
    classes, images = len(objects.index.class_names), len(objects.index.image_ids)
    rows, starts = _sort_by_class(detections.labels[order], order, classes)
    places = _call("find_places", detections.images[rows], starts, images)
    if (places >= MOST_DETECTIONS).any():
        kept = rows[places < MOST_DETECTIONS]
        rows, starts = _sort_by_class(detections.labels[kept], kept, classes)
        places = places[places < MOST_DETECTIONS]
    by_image = np.argsort(objects.images, kind="stable")
    object_rows, object_starts = _sort_by_class(objects.labels[by_image], by_image, classes)
    spans = _call("find_spans", detections.images[rows], starts, objects.images[object_rows], object_starts, images)
    boxes = detections.boxes_xywh[rows]
    crowd = objects.crowd[object_rows]
    not_counted = np.where(crowd, EVERY_SETTING, _outside(objects.areas[object_rows]))
    candidates = objects.boxes_xywh[object_rows], crowd, not_counted
    thresholds = IOU_THRESHOLDS.repeat(len(AREA_RANGES))
    outside = _outside(boxes[:, 2] * boxes[:, 3])
    matched, ignored, taken = _call("take_objects", boxes, outside, spans, *candidates, thresholds)
    return _Ranked(rows, starts, places, matched, ignored, np.where(taken < 0, -1, np.append(object_rows, -1)[taken]))


def _call(function: str, *arguments: object) -> Any:
    """Call a compiled loop, in the second process if there is one."""
    return call_compiled(LOOPS, function, *arguments)


def _sort_by_class(labels: IntArray, rows: IntArray, class_count: int) -> tuple[IntArray, IntArray]:
    """Sort rows [P] with labels [P] by class; also return the first place of each class and the number of all."""
    parts = split_by(labels, rows, class_count)
    return np.concatenate([rows[:0], *parts]), np.cumsum([0, *map(len, parts)])


def _outside(areas: Float64Array) -> Bits:
    """Return the bits of the settings whose range does not have the area: [N] -> [N]."""
    bits = np.zeros(len(areas), np.uint64)
    for position, (smallest, largest) in enumerate(AREA_RANGES):
        settings = range(position, len(IOU_THRESHOLDS) * len(AREA_RANGES), len(AREA_RANGES))
        range_bits = np.uint64(sum(1 << setting for setting in settings))
        bits |= range_bits * ((areas < smallest) | (areas > largest))
    return bits


def _count_objects(objects: SplitObjects) -> IntArray:
    """Return the number of objects of each class in each range of areas, without crowds: [A, C]."""
    counted, classes = objects[~objects.crowd], len(objects.index.class_names)
    inside = [(counted.areas >= smallest) & (counted.areas <= largest) for smallest, largest in AREA_RANGES]
    return np.array([np.bincount(counted.labels[mask], minlength=classes) for mask in inside])


def _precision(ranked: _Ranked, counts: IntArray) -> Float64Array:
    """Return the precision at each level of recall: [A, T, R, C], -1 without objects."""
    settings, levels = np.tile(counts, (len(IOU_THRESHOLDS), 1)), np.array(HUNDREDTHS)
    precision: Float64Array = _call(
        "precision_at_levels", ranked.matched, ranked.ignored, ranked.starts, settings, levels
    )
    return precision.reshape(len(IOU_THRESHOLDS), len(AREA_RANGES), len(levels), -1).swapaxes(0, 1)


def _recall(ranked: _Ranked, counts: IntArray, limit: int) -> Float64Array:
    """Return the recall of the best `limit` detections of each image and class: [A, T, C], -1 without objects."""
    matched = np.where(ranked.places < limit, ranked.matched, 0)
    shape = len(IOU_THRESHOLDS), *counts.shape
    hits: IntArray = _call("count_hits", matched, ranked.ignored, ranked.starts, shape[0] * shape[1])
    return np.divide(hits.reshape(shape), counts, out=np.full(shape, -1.0), where=counts > 0).swapaxes(0, 1)


def _summarize(precision: Float64Array, recalls: Mapping[int, Float64Array]) -> dict[str, float]:
    """Return the figures of `COCOeval.summarize` by name, in its order."""
    any_size, *sizes = precision
    size_recalls = recalls[MOST_DETECTIONS][1:]
    figures = {"AP": any_size, "AP50": any_size[IOU_THRESHOLDS == 0.5], "AP75": any_size[IOU_THRESHOLDS == 0.75]}
    figures |= {f"AP_{name}": values for name, values in zip(SIZES, sizes, strict=True)}
    figures |= {f"AR_{limit}": values[ANY_SIZE] for limit, values in recalls.items()}
    figures |= {f"AR_{name}": values for name, values in zip(SIZES, size_recalls, strict=True)}
    measured = {name: values[values > -1] for name, values in figures.items()}
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in measured.items()}


def _rankings(objects: SplitObjects, detections: SplitDetections, ranked: _Ranked) -> list[list[Ranking]]:
    """Return the ranking of each class at each IoU threshold."""
    counted = np.flatnonzero(~objects.crowd)
    object_rows = split_by(objects.labels[counted], counted, len(objects.index.class_names))
    scores, images = detections.scores[ranked.rows], detections.images[ranked.rows]
    rankings: list[list[Ranking]] = [[] for _ in object_rows]
    for overlap in range(len(IOU_THRESHOLDS)):
        matched, kept = _of_any_size(ranked.matched, overlap), ~_of_any_size(ranked.ignored, overlap)
        for label, (start, end) in enumerate(pairwise(ranked.starts.tolist())):
            # Usually all rows are kept, since only crowds and huge boxes are ignored. Then a slice avoids a copy.
            rows = slice(start, end) if kept[start:end].all() else start + np.flatnonzero(kept[start:end])
            rankings[label].append(
                Ranking(scores[rows], matched[rows], images[rows], objects.images[object_rows[label]])
            )
    return rankings


def _matches_at_half(ranked: _Ranked, order: IntArray) -> Matches:
    """Return the matches at an IoU of 0.5 of all detections; those that are not scored are ignored."""
    outcomes = np.full(len(order), IGNORED, np.int8)
    taken = np.full(len(order), -1)
    hit = np.where(_of_any_size(ranked.matched, AT_HALF), TRUE_POSITIVE, FALSE_POSITIVE)
    outcomes[ranked.rows] = np.where(_of_any_size(ranked.ignored, AT_HALF), IGNORED, hit)
    taken[ranked.rows] = ranked.objects
    return Matches(COCO_AT_HALF, order, outcomes, taken)


def _of_any_size(bits: Bits, overlap: int) -> BoolArray:
    """Return True where numbers [N] have the bit of the setting of objects of any size and an IoU threshold: [N]."""
    setting = overlap * len(AREA_RANGES) + ANY_SIZE
    return bits & np.uint64(1 << setting) > 0
