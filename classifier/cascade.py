"""What a cascade of two stages chooses between: the scores of the first member alone, and those of all members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.arrays import BoolArray, FloatArray
from detection.contracts import RegionScores


class Stages(NamedTuple):
    """Scores of the same N regions of an image, by the `first` member and by all, `fused`."""

    first: RegionScores
    fused: RegionScores

    def goes_on(self, threshold: float) -> BoolArray:
        """Whether the first member gives a class `threshold` or more: [N]."""
        rows: BoolArray = self.first.probabilities[:, 1:].max(axis=1) >= threshold
        return rows

    def choose(self, regions: FloatArray, threshold: float) -> RegionScores:
        """What a cascade with `threshold` says of the `regions` [N, 4], which a first member may leave unrefined."""
        rows = self.goes_on(threshold)
        probabilities = np.where(rows[:, None], self.fused.probabilities, self.first.probabilities)
        if self.fused.boxes is None:
            return RegionScores(probabilities)
        stopped = regions[:, None] if self.first.boxes is None else self.first.boxes
        return RegionScores(probabilities, np.where(rows[:, None, None], self.fused.boxes, stopped))


def join_stages(first: RegionScores, rest: RegionScores, *, members: int, refining: int) -> Stages:
    """Both stages, given the scores of the first member and the mean of the others'.

    Args:
        first: of one member.
        rest: of the others.
        members: how many there are without the first.
        refining: those among them that refine boxes.
    """
    probabilities = _mean(first.probabilities, rest.probabilities, members)
    if first.boxes is None or rest.boxes is None:
        return Stages(first, RegionScores(probabilities, rest.boxes if first.boxes is None else first.boxes))
    return Stages(first, RegionScores(probabilities, _mean(first.boxes, rest.boxes, refining)))


def _mean(one: FloatArray, mean_of_others: FloatArray, others: int) -> FloatArray:
    return ((one + others * mean_of_others) / (others + 1)).astype(np.float32, copy=False)


def last_within(precisions: Sequence[float], *, max_loss: float) -> int:
    """The last row up to which no precision is more than `max_loss` below that of row 0, which is exact mode.

    Rows are those of rising thresholds. A loss of just `max_loss` is allowed; an unknown precision, nan, is not.
    """
    within = [precisions[0] - precision <= max_loss for precision in precisions[1:]]
    return within.index(False) if False in within else len(within)
