"""An order of boxes in which the first few already lie wherever many others do.

Selective search has no idea what an object is, but its boxes crowd: the 500 largest of 1,533 are mostly variants of the
same regions. So each box is taken as a place where an object may be, and the order is that of greedy maximum coverage
(Nemhauser, Wolsey and Fisher 1978): next comes the box that stands for the most places that none before it stands for.
A place may count several times, as those of a proposer that knows objects should.

The order and its levels are our choice, measured on 128 photos of COCO (coverage.yaml): the first 500 of the
1,383 that are no near-duplicates find 94% of the objects that all find, where the 500 largest find 64%. To weigh the
places by a logistic function of size, shape, contrast and edges, fitted on half of 60 photos, gained nothing on the
other half.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import box_area

LEVELS = (0.6, 0.7, 0.8, 0.9)
"""A box stands for another a little from the first IoU on, fully from the last. An object that overlaps the other well
is found at an IoU of 0.5 from 0.6 or 0.7 on; the higher levels are for boxes that fit closely."""

ROWS_AT_ONCE = 64
"""Boxes whose overlaps are computed together: few enough that what they need stays in the processor's cache."""


class NearPairs(NamedTuple):
    """Pairs of boxes with their overlap, [P] each, the second index above the first."""

    first: IntArray
    second: IntArray
    iou: FloatArray


class Ranking(NamedTuple):
    """Indices [K] of boxes, best first, and the share [K] of all places, 0-1, that each is the first to stand for."""

    order: IntArray
    shares: FloatArray


def near_pairs(boxes: FloatArray, iou_threshold: float) -> NearPairs:
    """All pairs of boxes [N, 4] that overlap by `iou_threshold` (above 0) or more, as `box_iou` has it.

    Of two boxes that overlap so much, the smaller has at least this share of the area of the larger, so that each box
    is compared only with those of a like size.
    """
    by_area = np.argsort(box_area(boxes), kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[by_area].T)  # [N] each
    areas = (x2 - x1) * (y2 - y1)
    largest = areas / np.float32(iou_threshold * 0.999)  # a little more than can match, for the rounding of areas
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(boxes), ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, len(boxes)))
        columns = slice(start, int(np.searchsorted(areas, largest[rows.stop - 1], side="right")))
        width = np.minimum(x2[rows, None], x2[columns]) - np.maximum(x1[rows, None], x1[columns])  # [R, S]
        height = np.minimum(y2[rows, None], y2[columns]) - np.maximum(y1[rows, None], y1[columns])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[rows, None] + areas[columns] - shared
        # Without a division where there is nothing to divide; those of two boxes without area have no union.
        iou = np.divide(shared, union, out=np.zeros_like(union), where=shared > 0)
        row, column = np.nonzero(iou >= np.float32(iou_threshold))
        later = column > row
        row, column = row[later], column[later]
        found.append((by_area[row + start], by_area[column + start], iou[row, column]))
    first, second, overlaps = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return NearPairs(np.minimum(first, second), np.maximum(first, second), overlaps)


def rank_boxes(
    boxes: FloatArray, *, weights: IntArray | None = None, duplicate_iou: float = 1.0, limit: int | None = None
) -> Ranking:
    """Put boxes [N, 4] into the order that the module describes, without near-duplicates.

    Args:
        boxes: xyxy; of equal boxes the earlier ranks first, and those that stand for nothing new keep their order.
        weights: [N], how many places each box is taken as, at least one; by default one.
        duplicate_iou: above 0, at most 1; a box that overlaps one ranked before it by more is left out.
        limit: rank no more than so many.

    Raises:
        ValueError: for arguments out of range.
    """
    if not 0 < duplicate_iou <= 1 or (limit is not None and limit < 1):
        raise ValueError(f"expected duplicate_iou in 0-1 and a limit above 0, got {duplicate_iou=}, {limit=}")
    weights = np.ones(len(boxes), np.int64) if weights is None else weights
    if weights.shape != (len(boxes),) or (weights < 1).any():
        raise ValueError(f"weights must be one number above 0 for each of the {len(boxes)} boxes, got {weights}")
    neighbours = _Neighbours(near_pairs(boxes, min(LEVELS[0], duplicate_iou)), weights)
    served = np.zeros(len(boxes), np.int64)  # the highest level at which a ranked box stands for this one
    left_out = np.zeros(len(boxes), np.bool_)
    order: list[int] = []
    gains: list[int] = []
    # Gains only ever shrink, so a box whose gain is still what it was when it was queued has the largest of all.
    queue = [(-gain, index) for index, gain in enumerate(neighbours.gains())]
    heapq.heapify(queue)
    while queue and len(order) != limit:
        queued, index = heapq.heappop(queue)
        if left_out[index]:
            continue
        others, levels, overlaps = neighbours.of(index)
        gain = int((weights[others] * np.maximum(levels - served[others], 0)).sum())
        if gain != -queued:
            heapq.heappush(queue, (-gain, index))
            continue
        order.append(index)
        gains.append(gain)
        served[others] = np.maximum(served[others], levels)
        left_out[others] |= overlaps > np.float32(duplicate_iou)
    shares = np.array(gains, np.float32) / np.float32(max(1, len(LEVELS) * weights.sum()))
    return Ranking(np.array(order, np.int64), shares)


class _Neighbours:
    """Of each of N boxes the boxes near it, itself among them, with the level at which they stand for each other."""

    def __init__(self, pairs: NearPairs, weights: IntArray) -> None:
        count = len(weights)
        selves = np.arange(count)
        rows = np.concatenate([pairs.first, pairs.second, selves])
        order = np.argsort(rows, kind="stable")
        self._others = np.concatenate([pairs.second, pairs.first, selves])[order]
        self._overlaps = np.concatenate([pairs.iou, pairs.iou, np.ones(count, np.float32)])[order]
        self._levels = np.searchsorted(np.array(LEVELS, np.float32), self._overlaps, side="right")
        self._weighted = weights[self._others] * self._levels
        self._ends = [0, *np.cumsum(np.bincount(rows, minlength=count)).tolist()]

    def of(self, index: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Indices, levels (0 to the number of them) and overlaps of the boxes near one."""
        row = slice(self._ends[index], self._ends[index + 1])
        return self._others[row], self._levels[row], self._overlaps[row]

    def gains(self) -> list[int]:
        """Of each box the sum of its levels, each as often as the place counts."""
        sums: list[int] = np.add.reduceat(self._weighted, self._ends[:-1]).tolist() if len(self._levels) else []
        return sums
