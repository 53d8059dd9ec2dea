"""The rules by which detections are scored, as data; COCO's is in `coco_rule`, as pycocotools carries it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_IOU_THRESHOLD = 0.5
IouThresholds = Callable[[NDArray[Any]], NDArray[np.float64]]
"""From corners of ground truths [M, 4] to the IoU at which each counts as found, [M]."""

PIXEL_TOLERANCE = 10
"""By how much a box may be too wide and too high, 5 px at each side: for small objects an IoU of 0.5 asks for more."""

HUNDREDTHS = tuple(np.linspace(0, 1, 101).tolist())
"""The recalls 0, 0.01, ..., 1 of COCO, rounded as pycocotools has them."""

TENTHS = tuple(level / 10 for level in range(11))
"""The recalls 0, 0.1, ..., 1 of VOC 2007. Each is the double nearest to it, as is any recall that equals it."""


def ilsvrc_iou_thresholds(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """The IoU at which each ground truth counts as found: [M, 4] -> [M] in 0-0.5.

    Of `w` x `h` pixels: `min(0.5, w h / ((w + 10) (h + 10)))`, below 0.5 for squares under 25 pixels.
    """
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]  # [M, 2]
    thresholds: NDArray[np.float64] = sides.prod(axis=1) / (sides + PIXEL_TOLERANCE).prod(axis=1)
    return np.minimum(thresholds, MAX_IOU_THRESHOLD)


def half_iou_thresholds(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """An IoU of 0.5 for every ground truth, small ones too: [M, 4] -> [M]."""
    return np.full(len(boxes), MAX_IOU_THRESHOLD)


@dataclass(frozen=True)
class MatchingRule:
    """How detections of a class and an image take its objects, and what is averaged.

    The kits count inclusive pixels from 1: a width is `xmax - xmin + 1`, that of an intersection too. Their box
    `xmin..xmax` is our half-open `x1 = xmin - 1`, `x2 = xmax`, so `x2 - x1` is the same number.

    Args:
        name: for reports.
        iou_thresholds: the overlap at which each object counts as found.
        passes_over_taken: whether a detection whose best object is taken goes on to the next best that it overlaps
            enough, and to ignored objects last; or counts as wrong, and as ignored where its best object is.
        recall_levels: the recalls at which precision is averaged; None for the area under its envelope.
        ties_by_image: whether equal scores rank by image and then as given, or as given.
    """

    name: str
    iou_thresholds: IouThresholds
    passes_over_taken: bool
    recall_levels: tuple[float, ...] | None
    ties_by_image: bool


ILSVRC = MatchingRule("ilsvrc", ilsvrc_iou_thresholds, passes_over_taken=True, recall_levels=None, ties_by_image=True)
"""The detection task of ILSVRC: `eval_detection.m` of its development kit; Russakovsky et al., "ImageNet Large Scale
Visual Recognition Challenge", IJCV 2015, section 4.3. The kit knows no ignored objects: what becomes of them is our
choice, after COCO's rule."""

VOC2007 = MatchingRule(
    "voc2007", half_iou_thresholds, passes_over_taken=False, recall_levels=TENTHS, ties_by_image=False
)
"""PASCAL VOC up to 2009: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010, section
4.2."""

VOC = MatchingRule("voc", half_iou_thresholds, passes_over_taken=False, recall_levels=None, ties_by_image=False)
"""PASCAL VOC from 2010 on: as 2007, but the area (development kit of VOC 2012, section 3.4.1)."""

COCO_AT_HALF = MatchingRule(
    "coco at IoU 0.5", half_iou_thresholds, passes_over_taken=True, recall_levels=HUNDREDTHS, ties_by_image=True
)
"""COCO's rule at one overlap. Where there are crowds, which overlap in another way there, only pycocotools has it."""
