"""`agreement` counts the detections of one detector that another one also makes, and compares their scores."""

from typing import NamedTuple

import numpy as np

from detection.evaluation.matching import image_classes, pairs_of_equal
from detection.structures.arrays import Float64Array
from detection.structures.boxes import paired_iou
from detection.structures.split_columns import SplitDetections

SAME_IOU = 0.9
"""Two boxes with at least this IoU are taken for the same."""


class Agreement(NamedTuple):
    """The number of detections that were sought, and the absolute score differences of those that were found."""

    total: int
    score_differences: Float64Array


def agreement(detections: SplitDetections, others: SplitDetections, *, least_score: float) -> Agreement:
    """Find the detections of one result, from a score on, in another result on the same images and classes.

    A detection is found if the other result has a box of the same image and class with an IoU of at least `SAME_IOU`
    and any score. If it has several, the one with the largest IoU counts.
    """
    sought = detections[detections.scores >= least_score]
    boxes, other_boxes = sought.boxes, others.boxes
    differences = np.full(len(sought), np.nan)
    for places, rows in pairs_of_equal(image_classes(sought), image_classes(others)):
        iou = paired_iou(boxes[places], other_boxes[rows])
        rising = np.argsort(iou, kind="stable")  # the best pair of a detection is assigned last
        rising = rising[iou[rising] >= SAME_IOU]
        differences[places[rising]] = np.abs(sought.scores[places[rising]] - others.scores[rows[rising]])
    return Agreement(len(sought), differences[~np.isnan(differences)])
