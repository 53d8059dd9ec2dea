"""The rules of ILSVRC and PASCAL VOC for scoring detections, as data. COCO's rule is in `coco_rule`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_IOU_THRESHOLD = 0.5
IouThresholds = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Takes the corners of objects [M, 4] and returns the IoU at which each counts as found, [M]."""

PIXEL_TOLERANCE = 10
"""A box that is 10 pixels too wide and too high, 5 on each side, still finds an object; an IoU of 0.5 would be stricter
for small objects."""

HUNDREDTHS = tuple(np.linspace(0, 1, 101).tolist())
"""The recall levels 0, 0.01, ..., 1 of COCO, with the rounding of pycocotools."""

TENTHS = tuple(level / 10 for level in range(11))
"""The recall levels 0, 0.1, ..., 1 of VOC 2007. Division gives the same doubles for a measured recall of this value."""


def ilsvrc_iou_thresholds(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the IoU at which each object counts as found: [M, 4] -> [M] in 0-0.5.

    For `w` x `h` pixels it is `min(0.5, w h / ((w + 10) (h + 10)))`, which is below 0.5 for squares under 25 pixels.
    """
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]  # [M, 2]
    thresholds: NDArray[np.float64] = sides.prod(axis=1) / (sides + PIXEL_TOLERANCE).prod(axis=1)
    return np.minimum(thresholds, MAX_IOU_THRESHOLD)


def half_iou_thresholds(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Return an IoU of 0.5 for every object: [M, 4] -> [M]."""
    return np.full(len(boxes), MAX_IOU_THRESHOLD)


@dataclass(frozen=True)
class MatchingRule:
    """A rule that assigns detections to the objects of their class and image, and averages precision.

    The development kits count pixels from 1 and include the last, so that a width is `xmax - xmin + 1`, also of an
    intersection.
    Their box `xmin..xmax` is our half-open box `x1 = xmin - 1`, `x2 = xmax`, so that widths and IoU are the same.

    Args:
        name: the name in reports.
        iou_thresholds: the IoU at which each object counts as found.
        passes_over_taken: True if a detection whose best object is already taken may take the next best object that it
            overlaps enough, ignored objects last. Otherwise it is a false positive, or ignored if its best object is.
        recall_levels: the recall levels at which precision is averaged; None for the area under its envelope.
        ties_by_image: True if equal scores rank by image, then in the given order; otherwise only in the given order.
    """

    name: str
    iou_thresholds: IouThresholds
    passes_over_taken: bool
    recall_levels: tuple[float, ...] | None
    ties_by_image: bool


ILSVRC = MatchingRule("ilsvrc", ilsvrc_iou_thresholds, passes_over_taken=True, recall_levels=None, ties_by_image=True)
"""The detection task of ILSVRC: `eval_detection.m` of its development kit; Russakovsky et al., "ImageNet Large Scale
Visual Recognition Challenge", IJCV 2015, section 4.3. The kit has no ignored objects; we treat them as COCO's rule
does (our choice)."""

VOC2007 = MatchingRule(
    "voc2007", half_iou_thresholds, passes_over_taken=False, recall_levels=TENTHS, ties_by_image=False
)
"""PASCAL VOC up to 2009: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010, section
4.2."""

VOC = MatchingRule("voc", half_iou_thresholds, passes_over_taken=False, recall_levels=None, ties_by_image=False)
"""PASCAL VOC from 2010 on: as 2007, but with the area under the curve (development kit of VOC 2012, section 3.4.1)."""

COCO_AT_HALF = MatchingRule(
    "coco at IoU 0.5", half_iou_thresholds, passes_over_taken=True, recall_levels=HUNDREDTHS, ties_by_image=True
)
"""COCO's rule at an IoU of 0.5, for splits without crowds: COCO computes overlaps with crowds in another way,
which only `coco_rule` implements."""
