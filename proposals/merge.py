"""Merging: the proposals of several proposers as one ranked list (GoogLeNet's detector, arXiv 1409.4842, section 8).

`MergedProposer` is the proposer that a configuration names, and `rank_boxes` finds its order of boxes. Selective search
cannot tell which boxes hold an object, and their sizes are no good order: the 500 largest of 1,533 boxes are mostly
variants of the same regions. So each box counts as a place where an object may be, and a box covers the places near it.
The order is that of greedy maximum coverage (Nemhauser, Wolsey and Fisher 1978): the next box is the one that covers
the most places that are not covered yet. The places of a proposer that was trained on objects may count several times.

The order is our choice, measured on 128 photos of COCO (coverage.yaml): the first 500 of the 1,383 boxes that are not
near-duplicates find 94% of the objects that all of them find; the 500 largest boxes find 64%. Weighing the places by a
logistic function of size, shape, contrast and edges, fitted on half of 60 photos, gained nothing on the other half.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import ROWS_AT_ONCE, box_area, box_iou
from detection.structures.contracts import NO_SOURCE, Proposals, Proposer, find_proposals

DUPLICATE_IOU = 0.95
"""The default IoU above which two boxes are near-duplicates (our choice; the paper does not mention them). On 60 photos
it drops a tenth of the boxes of selective search, and no object is lost at an IoU of 0.5; 0.9 drops a fifth, and one of
259 objects."""

LEVELS = (0.6, 0.7, 0.8, 0.9)
"""A box whose IoU with another is at least the first of these covers it by one quarter, at least the second by two
quarters, and so on. If an object overlaps the covered box well, a box that covers it by a quarter or two finds the
object at an IoU of 0.5; the higher levels prefer boxes that fit better."""


class MergedProposer:
    """Returns the boxes of several proposers without near-duplicates, in the order of `rank_boxes`.

    The score of a box is the share, 0-1, of all places that it is the first to cover; the scores that the proposers
    gave are not used. `Proposals.sources` says which proposer a box comes from, counted from 0 in the order given here.

    Args:
        proposers: at least one, at most 255. Of boxes that cover equally many places, the box of an earlier proposer
            comes first. So name MultiBox before selective search, of whose boxes fewer hold an object.
        budget: the maximum number of boxes; the best are kept. By default all are.
        duplicate_iou: above 0, at most 1; a box whose IoU with a better box is higher is a near-duplicate.
        place_weights: for each proposer, the number of places that one of its boxes counts as, 1 or more; by default 1.

    Raises:
        ValueError: for arguments out of range.
    """

    def __init__(
        self,
        proposers: Sequence[Proposer],
        budget: int | None = None,
        duplicate_iou: float = DUPLICATE_IOU,
        place_weights: Sequence[int] | None = None,
    ) -> None:
        if not 1 <= len(proposers) <= NO_SOURCE:
            raise ValueError(f"proposers must be 1 to {NO_SOURCE}, got {len(proposers)}")
        if (budget is not None and budget < 1) or not 0 < duplicate_iou <= 1:
            raise ValueError(f"expected a budget above 0 and duplicate_iou in 0-1, got {budget=}, {duplicate_iou=}")
        self.place_weights = (1,) * len(proposers) if place_weights is None else tuple(place_weights)
        if len(self.place_weights) != len(proposers) or min(self.place_weights) < 1:
            raise ValueError(f"place_weights must be {len(proposers)} numbers above 0, got {place_weights}")
        self.proposers = tuple(proposers)
        self.budget = budget
        self.duplicate_iou = duplicate_iou

    def __call__(self, image: Image) -> Proposals:
        """Return the proposals of an image, best first; raises what `find_proposals` raises."""
        boxes = [find_proposals(propose, image).boxes for propose in self.proposers]
        sources = np.repeat(np.arange(len(boxes)), [len(source_boxes) for source_boxes in boxes])
        all_boxes, weights = np.concatenate(boxes), np.array(self.place_weights)[sources]
        order, shares = rank_boxes(all_boxes, weights=weights, duplicate_iou=self.duplicate_iou, limit=self.budget)
        return Proposals(all_boxes[order], shares, sources[order])


class Ranking(NamedTuple):
    """Indices [K] of boxes, best first, and the share [K] of all places, 0-1, that each is the first to cover."""

    order: IntArray
    shares: FloatArray


def rank_boxes(
    boxes: FloatArray, *, weights: IntArray | None = None, duplicate_iou: float = 1.0, limit: int | None = None
) -> Ranking:
    """Rank boxes [N, 4] by greedy maximum coverage, as the module describes, and drop near-duplicates.

    Args:
        boxes: xyxy. Of equal boxes the earlier one ranks first; boxes that cover nothing new keep their order.
        weights: [N], the number of places that each box counts as, 1 or more; by default 1.
        duplicate_iou: above 0, at most 1; a box whose IoU with one ranked before it is higher is dropped.
        limit: the maximum number of boxes to rank.

    Raises:
        ValueError: for arguments out of range.
    """
    if not 0 < duplicate_iou <= 1 or (limit is not None and limit < 1):
        raise ValueError(f"expected duplicate_iou in 0-1 and a limit above 0, got {duplicate_iou=}, {limit=}")
    weights = np.ones(len(boxes), np.int64) if weights is None else weights
    if weights.shape != (len(boxes),) or (weights < 1).any():
        raise ValueError(f"weights must be one number above 0 for each of the {len(boxes)} boxes, got {weights}")
    neighbours = _Neighbours(near_pairs(boxes, min(LEVELS[0], duplicate_iou)), weights)
    covered = np.zeros(len(boxes), np.int64)  # the highest level at which a ranked box covers this one
    dropped = np.zeros(len(boxes), np.bool_)
    order: list[int] = []
    gains: list[int] = []
    # Gains only ever shrink, so a box whose gain is still what it was when it was queued has the largest of all.
    queue = [(-gain, index) for index, gain in enumerate(neighbours.initial_gains())]
    heapq.heapify(queue)
    while queue and len(order) != limit:
        queued, index = heapq.heappop(queue)
        if dropped[index]:
            continue
        others, levels, overlaps = neighbours[index]
        gain = int((weights[others] * np.maximum(levels - covered[others], 0)).sum())
        if gain != -queued:
            heapq.heappush(queue, (-gain, index))
            continue
        order.append(index)
        gains.append(gain)
        covered[others] = np.maximum(covered[others], levels)
        dropped[others] |= overlaps > np.float32(duplicate_iou)
    shares = np.array(gains, np.float32) / np.float32(max(1, len(LEVELS) * weights.sum()))
    return Ranking(np.array(order, np.int64), shares)


class NearPairs(NamedTuple):
    """Pairs of overlapping boxes and their IoU, [P] each; the second index of a pair is above the first."""

    first: IntArray
    second: IntArray
    iou: FloatArray


def near_pairs(boxes: FloatArray, iou_threshold: float) -> NearPairs:
    """Return all pairs of boxes [N, 4] whose IoU is `iou_threshold` (above 0) or more.

    The smaller of two such boxes has at least this share of the area of the larger one, so each box is compared only
    with boxes of a similar area.
    """
    by_area = np.argsort(box_area(boxes), kind="stable")
    boxes = boxes[by_area]
    areas = box_area(boxes)
    largest = areas / np.float32(iou_threshold * 0.999)  # a little more than can match, for the rounding of areas
    pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(boxes), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(boxes))
        end = int(np.searchsorted(areas, largest[stop - 1], side="right"))
        iou = box_iou(boxes[start:stop], boxes[start:end])  # [R, S]
        row, column = np.nonzero(np.triu(iou >= np.float32(iou_threshold), 1))
        pairs.append((by_area[row + start], by_area[column + start], iou[row, column]))
    first, second, overlaps = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return NearPairs(np.minimum(first, second), np.maximum(first, second), overlaps)


class _Neighbours:
    """For each of N boxes, the boxes that overlap it (itself included), the level of each overlap, and its IoU."""

    def __init__(self, pairs: NearPairs, weights: IntArray) -> None:
        count = len(weights)
        indices = np.arange(count)
        rows = np.concatenate([pairs.first, pairs.second, indices])
        order = np.argsort(rows, kind="stable")
        self._others = np.concatenate([pairs.second, pairs.first, indices])[order]
        self._overlaps = np.concatenate([pairs.iou, pairs.iou, np.ones(count, np.float32)])[order]
        self._levels = np.searchsorted(np.array(LEVELS, np.float32), self._overlaps, side="right")
        self._weighted = weights[self._others] * self._levels
        self._ends = [0, *np.cumsum(np.bincount(rows, minlength=count)).tolist()]

    def __getitem__(self, index: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the indices, the levels (0 to `len(LEVELS)`) and the IoUs of the boxes that overlap a box."""
        row = slice(self._ends[index], self._ends[index + 1])
        return self._others[row], self._levels[row], self._overlaps[row]

    def initial_gains(self) -> list[int]:
        """Return for each box the sum of its levels, each multiplied by the weight of the covered place."""
        sums: list[int] = np.add.reduceat(self._weighted, self._ends[:-1]).tolist() if len(self._levels) else []
        return sums
