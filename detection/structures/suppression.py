"""Which of the scored boxes of an image are detections: for each class, the best box of each object."""

from dataclasses import dataclass

import numpy as np

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import drop_parts, nms, vote_boxes

CANDIDATES_PER_CLASS = 1000
"""The number of best regions of a class that enter non-maximum suppression; it bounds the IoUs to compute."""


@dataclass(frozen=True)
class Suppression:
    """Suppresses the duplicates among the boxes of each class.

    Attributes:
        nms_iou_threshold: of two boxes with an IoU above this, 0-1, the one with the lower score is dropped.
        part_share: a box is also dropped if at least this share of its area, 0-1, lies in a larger box with a higher
            score; None drops none of these.
    """

    nms_iou_threshold: float
    part_share: float | None

    def select(
        self, boxes: FloatArray, scores: FloatArray, *, score_threshold: float, limit: int
    ) -> tuple[IntArray, IntArray]:
        """Return the regions and the labels of the detections, [D] each, best first.

        Args:
            boxes: the boxes [N, C, 4] of N regions for each of C classes.
            scores: [N, C].
            score_threshold: lower scores are left out.
            limit: the largest number of detections.
        """
        candidates = scores >= float(score_threshold)  # compared in float32, the type of the scores
        kept = np.zeros_like(candidates)
        for label in np.flatnonzero(candidates.any(axis=0)):
            rows = np.flatnonzero(candidates[:, label])
            rows = rows[np.argsort(-scores[rows, label], kind="stable")[:CANDIDATES_PER_CLASS]]
            kept[rows[self._suppress(boxes[rows, label], scores[rows, label])], label] = True
        labels, rows = np.nonzero(kept.T)  # of equal scores, the first class and then the first region goes first
        best = np.argsort(-scores[rows, labels], kind="stable")[:limit]
        return rows[best], labels[best]

    def keep(self, boxes: FloatArray, scores: FloatArray, labels: IntArray) -> BoolArray:
        """Return which of D detections to keep [D]: those that no better one of their class suppresses.

        Args:
            boxes: [D, 4].
            scores: [D].
            labels: [D].
        """
        kept = np.zeros(len(labels), np.bool_)
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            kept[places[self._suppress(boxes[places], scores[places])]] = True
        return kept

    def _suppress(self, boxes: FloatArray, scores: FloatArray) -> IntArray:
        """Return the indices of the boxes [N, 4] of a class that no better one suppresses, best first."""
        kept = nms(boxes, scores, self.nms_iou_threshold)
        return kept if self.part_share is None else kept[drop_parts(boxes[kept], self.part_share)]


def vote_for_detections(
    rows: IntArray, labels: IntArray, boxes: FloatArray, scores: FloatArray, iou: float
) -> FloatArray:
    """Return the boxes [D, 4] of detections for which all regions vote, see `vote_boxes`.

    Regions below the score threshold vote too, so that another threshold does not move boxes.

    Args:
        rows: the regions of the detections [D].
        labels: the labels of the detections [D].
        boxes: the boxes [N, C, 4] of N regions for each of C classes.
        scores: [N, C].
        iou: the least IoU of a vote.
    """
    voted = boxes[rows, labels]
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        voted[places] = vote_boxes(voted[places], boxes[:, label], scores[:, label], iou)
    return voted
