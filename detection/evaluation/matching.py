"""Which detections found an object, by the rule of the ILSVRC detection task.

Source: `eval_detection.m` of the ILSVRC development kit; Russakovsky et al., "ImageNet Large Scale Visual Recognition
Challenge", IJCV 2015, section 4.3. The kit counts inclusive pixels from 1: a width is `xmax - xmin + 1`, that of an
intersection too. Its box `xmin..xmax` is our half-open `x1 = xmin - 1`, `x2 = xmax`, so `x2 - x1` is the same number
and no pixel is added here.

All overlaps are float64: of boxes at whole pixels they are then the nearest to the true ratio, as the thresholds are,
and an overlap equal to its threshold compares as equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.arrays import BoolArray, FloatArray
from detection.boxes import box_iou
from detection.detections import Detections
from detection.ground_truth import GroundTruth

MAX_IOU_THRESHOLD = 0.5
IouThresholds = Callable[[FloatArray], NDArray[np.float64]]
"""From ground truths [M, 4] to the IoU at which each counts as found, [M]."""

PIXEL_TOLERANCE = 10
"""By how much a box may be too wide and too high, 5 px at each side: for small objects an IoU of 0.5 asks for more."""


def ilsvrc_iou_thresholds(boxes: FloatArray) -> NDArray[np.float64]:
    """The IoU at which each ground truth counts as found: [M, 4] -> [M] in 0-0.5.

    Of `w` x `h` pixels: `min(0.5, w h / ((w + 10) (h + 10)))`, below 0.5 for squares under 25 pixels.
    """
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]  # [M, 2]
    thresholds: NDArray[np.float64] = sides.prod(axis=1) / (sides + PIXEL_TOLERANCE).prod(axis=1)
    return np.minimum(thresholds, MAX_IOU_THRESHOLD)


def half_iou_thresholds(boxes: FloatArray) -> NDArray[np.float64]:
    """An IoU of 0.5 for every ground truth, small ones too: [M, 4] -> [M]."""
    return np.full(len(boxes), MAX_IOU_THRESHOLD)


def match_detections(
    boxes: FloatArray, ground_truth_boxes: FloatArray, iou_thresholds: NDArray[np.float64]
) -> BoolArray:
    """Which detections of one class in one image are true positives: [N, 4], [M, 4], [M] -> [N].

    `boxes` come best first, and in this order each takes a ground truth: of those that no other took, that it overlaps
    at all and with at least their own threshold, the one that it overlaps most, or the first of equals. A detection
    left with none, a duplicate for one, is a false positive.
    """
    exact: NDArray[Any] = boxes.astype(np.float64)
    iou: NDArray[Any] = box_iou(exact, ground_truth_boxes.astype(np.float64))  # [N, M]
    candidates = np.where(iou >= iou_thresholds, iou, 0)  # [N, M], 0 where no match is possible
    true_positive = np.zeros(len(boxes), np.bool_)
    for row in np.flatnonzero(candidates.any(axis=1)):
        best = candidates[row].argmax()
        if candidates[row, best] > 0:
            true_positive[row] = True
            candidates[:, best] = 0
    return true_positive


def match_image(
    ground_truth: GroundTruth, detections: Detections, iou_thresholds: IouThresholds = ilsvrc_iou_thresholds
) -> BoolArray:
    """Which detections of an image, of any classes and in any order, are true positives: [N], in the order given.

    Detections of one class take their turn by falling score, those of equal score in the order given.
    """
    true_positive = np.zeros(len(detections), np.bool_)
    order = np.argsort(-detections.scores, kind="stable")
    for label in np.intersect1d(ground_truth.labels, detections.labels):
        rows = order[detections.labels[order] == label]
        objects = ground_truth.boxes[ground_truth.labels == label]
        true_positive[rows] = match_detections(detections.boxes[rows], objects, iou_thresholds(objects))
    return true_positive
