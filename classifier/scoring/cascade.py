"""What a cascade chooses between: the mean scores of its first members, and those of all members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detection.structures.arrays import BoolArray, FloatArray
from detection.structures.contracts import RegionScores


class Stages(NamedTuple):
    """Scores of the same N regions of an image by the `first` members, and by all, `fused`.

    Those that are not `reached` [N] were stopped by earlier members, and have the same scores in both.
    """

    first: RegionScores
    fused: RegionScores
    reached: BoolArray

    def goes_on(self, threshold: float) -> BoolArray:
        """Whether the first members reach a region and promise `threshold` or more of it: [N]."""
        rows: BoolArray = self.reached & (promise(torch.from_numpy(self.first.probabilities)) >= threshold).numpy()
        return rows

    def choose(self, regions: FloatArray, threshold: float) -> RegionScores:
        """What a cascade with `threshold` says of the `regions` [N, 4], which the first members may leave unrefined."""
        rows = self.goes_on(threshold)
        probabilities = np.where(rows[:, None], self.fused.probabilities, self.first.probabilities)
        if self.fused.boxes is None:
            return RegionScores(probabilities)
        stopped = regions[:, None] if self.first.boxes is None else self.first.boxes
        return RegionScores(probabilities, np.where(rows[:, None, None], self.fused.boxes, stopped))


def promise(probabilities: Tensor) -> Tensor:
    """How much a region with these probabilities [N, C + 1] promises to become a detection: [N], 0-1.

    A geometric mean of the best class's probability, which weighs twice, and of that of all classes together (our
    choice): the latter tells objects of an uncertain class from background.
    """
    return (probabilities[:, 1:].amax(dim=1).square() * (1 - probabilities[:, 0])).pow(1 / 3)


def join_stages(parts: Sequence[Stages]) -> Stages:
    """The stages of an image whose regions came in several parts, at least one."""
    first, fused, reached = zip(*parts, strict=True)
    return Stages(join_scores(first), join_scores(fused), np.concatenate(reached))


def join_scores(parts: Sequence[RegionScores]) -> RegionScores:
    """The scores of an image whose regions came in several parts, at least one."""
    boxes = [part.boxes for part in parts if part.boxes is not None]
    return RegionScores(
        np.concatenate([part.probabilities for part in parts]), np.concatenate(boxes) if boxes else None
    )


def last_within(precisions: Sequence[float], *, max_loss: float) -> int:
    """The last row up to which no precision is more than `max_loss` below that of row 0, which is exact mode.

    Rows are those of rising thresholds. A loss of just `max_loss` is allowed; an unknown precision, nan, is not.
    """
    within = [precisions[0] - precision <= max_loss for precision in precisions[1:]]
    return within.index(False) if False in within else len(within)
