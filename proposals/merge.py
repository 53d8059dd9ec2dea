"""Proposals of several sources as one list, as in GoogLeNet's detector (arXiv 1409.4842, section 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detection.structures.arrays import Image
from detection.structures.contracts import NO_SOURCE, Proposals, Proposer
from proposals.ranking import rank_boxes

DUPLICATE_IOU = 0.95
"""Our choice, the paper says nothing of duplicates. On 60 photos it takes a tenth of the boxes of selective search and,
at an IoU of 0.5, no object that they found; 0.9 takes a fifth, and one of 259 objects."""


class MergedProposer:
    """The boxes of several proposers without near-duplicates, in the order of `proposals.ranking`.

    Scores are shares of the places where an object may be, 0-1, and say nothing of those that the proposers gave.
    `Proposals.sources` tells from which proposer a box came, counted from 0 in the order given here.

    Args:
        proposers: at least one, at most 255. Of boxes that stand for as many places, those of an earlier proposer come
            first, so MultiBox belongs before selective search, whose single boxes are worth less.
        budget: give the best so many boxes; all by default.
        duplicate_iou: above 0, at most 1; a box that overlaps a better one by more is a near-duplicate.
        place_weights: for each proposer, how many places its boxes count as, at least one; by default one.

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
        """Proposals of an image, best first."""
        found = [propose(image).boxes for propose in self.proposers]
        boxes = np.concatenate(found)
        sources = np.repeat(np.arange(len(found)), [len(of_one) for of_one in found])
        weights = np.array(self.place_weights)[sources]
        order, shares = rank_boxes(boxes, weights=weights, duplicate_iou=self.duplicate_iou, limit=self.budget)
        return Proposals(boxes[order], shares, sources[order])
