"""The loops of COCO's rule, compiled by Numba; `detection.evaluation.coco_rule` calls them by `call_compiled`.

They give the figures of `COCOeval` of pycocotools to the last digit. The rule is applied in S < 64 settings, each of an
IoU threshold and a range of areas, in the order of the thresholds. Each setting has its own bit in the numbers that say
which detections found an object.
"""

import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled, compiled_part
from detection.structures.arrays import BoolArray, Float64Array, IntArray

Bits = NDArray[np.uint64]

ONE = np.uint64(1)
EPSILON = np.spacing(1)
"""The small number that pycocotools adds to the number of detections, so that it never divides by zero."""


def load() -> None:
    """Load or compile the machine code before it is needed; the second process calls this when it starts."""
    row, ends, bits, thresholds = np.zeros(1, np.int64), np.array([0, 1]), np.zeros(1, np.uint64), np.array([0.5])
    boxes = np.ones((1, 4))
    find_places(row, ends, 1)
    spans = find_spans(row, ends, row, ends, 1)
    matched, ignored, _ = take_objects(boxes, bits, spans, boxes, np.zeros(1, np.bool_), bits, thresholds)
    count_hits(matched, ignored, ends, 1)
    precision_at_levels(matched, ignored, ends, np.ones((1, 1), np.int64), thresholds)


@compiled
def find_places(images: IntArray, starts: IntArray, image_count: int) -> IntArray:
    """Return the number of better detections of the same image and class: [N].

    Args:
        images: the images of the detections, which are sorted by class, best first within a class, [N].
        starts: the first detection of each class, and the number of all, [C + 1].
        image_count: the number of images.
    """
    places = np.zeros(len(images), np.int64)
    for label in range(len(starts) - 1):
        counts = np.zeros(image_count, np.int64)
        for row in range(starts[label], starts[label + 1]):
            places[row] = counts[images[row]]
            counts[images[row]] += 1
    return places


@compiled
def find_spans(
    images: IntArray, starts: IntArray, object_images: IntArray, object_starts: IntArray, image_count: int
) -> IntArray:
    """Return the first object of the image and class of each detection, and the one behind the last: [N, 2].

    Args:
        images: the images of the detections, which are sorted by class, [N].
        starts: the first detection of each class, and the number of all, [C + 1].
        object_images: the images of the objects, which are sorted by class, and by image within a class, [M].
        object_starts: the first object of each class, and the number of all, [C + 1].
        image_count: the number of images.
    """
    spans = np.zeros((len(images), 2), np.int64)
    for label in range(len(starts) - 1):
        image_spans = np.zeros((image_count, 2), np.int64)
        for row in range(object_starts[label], object_starts[label + 1]):
            span = image_spans[object_images[row]]
            span[0] = row if span[1] == 0 else span[0]
            span[1] = row + 1
        for row in range(starts[label], starts[label + 1]):
            spans[row] = image_spans[images[row]]
    return spans


@compiled
def take_objects(  # noqa: PLR0917  compiled functions take no keywords
    boxes_xywh: Float64Array,
    outside: Bits,
    spans: IntArray,
    object_boxes: Float64Array,
    crowd: BoolArray,
    object_ignored: Bits,
    thresholds: Float64Array,
) -> tuple[Bits, Bits, IntArray]:
    """Let the detections take objects, in each setting, best detection first.

    Args:
        boxes_xywh: the boxes of the detections, best first within an image and class, float64 [N, 4].
        outside: the settings in which a detection that takes no object is ignored, uint64 [N].
        spans: the objects of the image and class of each detection, as `find_spans` returns them, [N, 2].
        object_boxes: the boxes of the objects as `SplitObjects` has them, sorted by class, and by image within a class,
            float64 [M, 4].
        crowd: True for crowds, which several detections may take, bool [M].
        object_ignored: the settings in which an object does not count, uint64 [M].
        thresholds: the IoU threshold of each setting, rising, [S].

    Returns:
        The settings in which a detection takes an object, and those in which it is ignored, both uint64 [N]; and the
        object that it takes in the first setting or -1, int64 [N].
    """
    matched, ignored, first_object = np.zeros(len(spans), np.uint64), outside.copy(), np.full(len(spans), -1)
    taken, candidates, iou = np.zeros(len(crowd), np.uint64), np.zeros(len(crowd), np.uint64), np.zeros(len(crowd))
    for row in range(len(spans)):
        span, possible = (spans[row, 0], spans[row, 1]), np.uint64(0)
        for other in range(span[0], span[1]):
            iou[other] = _iou(boxes_xywh[row], object_boxes[other], crowd[other])
            reached = np.searchsorted(thresholds, iou[other], side="right")
            candidates[other] = ((ONE << np.uint64(reached)) - ONE) & ~taken[other]
            possible |= candidates[other]
        setting = 0
        while possible >> np.uint64(setting):
            bit = ONE << np.uint64(setting)
            if possible & bit:
                best = _best_object(iou, candidates, object_ignored, span, bit)
                matched[row] |= bit
                ignored[row] = (ignored[row] & ~bit) | (object_ignored[best] & bit)
                taken[best] |= np.uint64(0) if crowd[best] else bit
                first_object[row] = best if setting == 0 else first_object[row]
            setting += 1
    return matched, ignored, first_object


@compiled_part
def _iou(box: Float64Array, object_box: Float64Array, crowd: bool) -> float:
    """Return the IoU of the box of a detection and that of an object, in the order of operations of pycocotools.

    The IoU with a crowd is the share of the detection that lies in it.
    """
    width = min(box[0] + box[2], object_box[0] + object_box[2]) - max(box[0], object_box[0])
    height = min(box[1] + box[3], object_box[1] + object_box[3]) - max(box[1], object_box[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, area = width * height, box[2] * box[3]
    iou: float = shared / (area if crowd else area + object_box[2] * object_box[3] - shared)
    return iou


@compiled_part
def _best_object(iou: Float64Array, candidates: Bits, ignored: Bits, span: tuple[int, int], bit: np.uint64) -> int:
    """Return the candidate that overlaps most in a setting; there has to be one.

    Objects that count are preferred to ignored ones, and of equally good objects the last is taken.

    Args:
        iou: the IoU with each object, [M].
        candidates: the settings in which an object is free and overlaps enough, [M].
        ignored: the settings in which it does not count, [M].
        span: the first object that is looked at, and the one behind the last.
        bit: the bit of the setting.
    """
    best, best_ignored = -1, bit
    for other in range(span[0], span[1]):
        is_ignored = ignored[other] & bit
        at_least_as_good = best < 0 or iou[other] >= iou[best]
        if candidates[other] & bit and (is_ignored < best_ignored or (is_ignored == best_ignored and at_least_as_good)):
            best, best_ignored = other, is_ignored
    return best


@compiled
def count_hits(matched: Bits, ignored: Bits, starts: IntArray, setting_count: int) -> IntArray:
    """Return the number of objects of each class that were found and count, in each setting: [S, C].

    Args:
        matched: from `take_objects`, for detections by class, [N].
        ignored: likewise.
        starts: the first detection of each class, and the number of all, [C + 1].
        setting_count: the number of settings.
    """
    counts = np.zeros((setting_count, len(starts) - 1), np.int64)
    for label in range(counts.shape[1]):
        for row in range(starts[label], starts[label + 1]):
            hits = matched[row] & ~ignored[row]
            setting = 0
            while hits:
                counts[setting, label] += np.int64(hits & ONE)
                hits >>= ONE
                setting += 1
    return counts


@compiled
def precision_at_levels(
    matched: Bits, ignored: Bits, starts: IntArray, object_counts: IntArray, levels: Float64Array
) -> Float64Array:
    """Return the best precision at each level of recall or a higher one, in each setting and class: [S, R, C].

    Without objects it is -1, and at a level that is not reached 0.

    Args:
        matched: from `take_objects`, for detections by class, best first within a class, [N].
        ignored: likewise.
        starts: the first detection of each class, and the number of all, [C + 1].
        object_counts: the number of objects that count, [S, C].
        levels: the rising levels of recall, [R].
    """
    settings, classes = object_counts.shape
    result = np.full((settings, len(levels), classes), -1.0)
    precision = np.zeros(len(matched) + 1)
    for label in range(classes):
        start, end = starts[label], starts[label + 1]
        for setting in range(settings):
            if object_counts[setting, label]:
                bit = ONE << np.uint64(setting)
                hits = _fill_precision(matched[start:end], ignored[start:end], bit, precision)
                _fill_levels(precision[: hits + 1], object_counts[setting, label], levels, result[setting, :, label])
    return result


@compiled_part
def _fill_precision(matched: Bits, ignored: Bits, bit: np.uint64, precision: Float64Array) -> int:
    """Write the precision down to each object that is found into `precision`, and return their number.

    `bit` is that of the setting; `matched` and `ignored` are those of the N detections of a class.
    """
    hits, count = 0, 0
    for row in range(len(matched)):
        if ignored[row] & bit:
            continue
        count += 1
        if matched[row] & bit:
            precision[hits] = (hits + 1) / (count + EPSILON)
            hits += 1
    return hits


@compiled_part
def _fill_levels(precision: Float64Array, object_count: int, levels: Float64Array, result: Float64Array) -> None:
    """Write the best precision at each level of recall or a higher one into `result` [R].

    `precision` [hits + 1] has the precision down to each object that is matched, and room for one more.
    """
    hits = len(precision) - 1
    precision[hits] = 0  # for levels that are not reached
    for hit in range(hits - 1, -1, -1):
        precision[hit] = max(precision[hit], precision[hit + 1])
    hit = 0
    for position, level in enumerate(levels):
        while hit < hits and (hit + 1) / object_count < level:
            hit += 1
        result[position] = precision[hit]
