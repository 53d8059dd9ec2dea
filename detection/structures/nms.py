"""Greedy non-maximum suppression, class by class, as in R-CNN (arXiv 1311.2524, section 2.2)."""

from __future__ import annotations

import numpy as np

from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import box_iou
from detection.structures.contracts import RegionScores
from detection.structures.detections import Detections

NMS_IOU_THRESHOLD = 0.3
"""R-CNN's value; GoogLeNet's paper gives none."""

CANDIDATES_PER_CLASS = 1000
"""The best so many regions of a class compete; bounds the overlaps that are computed."""

ROWS_AT_ONCE = 64
"""Boxes whose overlaps with all after them are computed together: few enough that these stay in the processor's cache,
and that few are computed of boxes that turn out to be dropped."""


def nms(boxes: FloatArray, scores: FloatArray, iou_threshold: float = NMS_IOU_THRESHOLD) -> IntArray:
    """Keep the best box and drop those that overlap it by more than `iou_threshold`, then the next best, and so on.

    Args:
        boxes: [N, 4] xyxy.
        scores: [N]; equal scores rank in input order.
        iou_threshold: 0-1; a box exactly at the threshold is kept.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    alive = np.ones(len(ranked), np.bool_)
    for start in range(0, len(ranked), ROWS_AT_ONCE):
        rows = start + np.flatnonzero(alive[start : start + ROWS_AT_ONCE])
        overlapping = box_iou(ranked[rows], ranked[start:]) > float(iou_threshold)  # in the precision of the overlaps
        for row, dropped in zip(rows, overlapping, strict=True):
            if alive[row]:
                dropped[row - start] = False  # itself; the better ones that it overlaps are dropped already
                alive[start:][dropped] = False
    kept: IntArray = order[alive].astype(np.int64)
    return kept


def suppress(
    boxes: FloatArray,
    scores: RegionScores,
    class_names: tuple[str, ...],
    *,
    score_threshold: float,
    nms_iou_threshold: float,
    max_detections: int,
) -> Detections:
    """From scored regions to detections: per class a threshold and NMS, then the best of all classes.

    Args:
        boxes: [N, 4] xyxy, the regions; replaced by `scores.boxes` where the classifier refined them.
        scores: of the same N regions.
        class_names: of the C foreground classes.
        score_threshold: regions of a lower probability are dropped.
        nms_iou_threshold: see `nms`.
        max_detections: the best so many are returned.

    Raises:
        ValueError: if the scores are of another number of regions or classes.
    """
    probabilities = scores.probabilities[:, 1:]  # [N, C]
    if probabilities.shape != (len(boxes), len(class_names)):
        expected = [len(boxes), len(class_names) + 1]
        raise ValueError(f"probabilities must have shape {expected}, got {list(scores.probabilities.shape)}")
    score_threshold = float(score_threshold)  # in the precision of the scores
    found: list[tuple[FloatArray, FloatArray, IntArray]] = []
    for label in np.flatnonzero((probabilities >= score_threshold).any(axis=0)):
        column = probabilities[:, label]
        candidates = np.flatnonzero(column >= score_threshold)
        candidates = candidates[np.argsort(-column[candidates], kind="stable")[:CANDIDATES_PER_CLASS]]
        class_boxes = (boxes if scores.boxes is None else scores.boxes[:, label])[candidates]
        kept = nms(class_boxes, column[candidates], nms_iou_threshold)
        found.append((class_boxes[kept], column[candidates][kept], np.full(len(kept), label, np.int64)))
    if not found:
        return Detections(boxes[:0], np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)
    all_boxes, all_scores, all_labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-all_scores, kind="stable")[:max_detections]
    return Detections(all_boxes[best], all_scores[best], all_labels[best], class_names)
