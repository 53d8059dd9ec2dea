"""Choose a threshold of a cascade: score regions with and without the networks after it, and compare.

`tools.measure.calibrate_cascade` scores all regions once by `stage_regions`, and then tries every threshold on these
scores. The cascade itself is in `classifier.scoring.score`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from classifier.scoring.score import Cascade, cascade_confidence, merge_stages, score_groups, split_by_image
from detection.structures.arrays import BoolArray, FloatArray, Image, as_numpy
from detection.structures.contracts import RegionScores


class StageScores(NamedTuple):
    """Scores of the same N regions of an image, once by the first networks of a cascade and once by all networks.

    Attributes:
        first: the mean scores of the first networks.
        fused: the mean scores of all networks.
        reached: [N], False for the regions that an earlier threshold stopped; `first` and `fused` are equal there.
    """

    first: RegionScores
    fused: RegionScores
    reached: BoolArray

    def goes_on(self, threshold: float) -> BoolArray:
        """Return a mask [N], True for the regions that go on with a new `threshold` after the first networks."""
        confidence = cascade_confidence(self.first.probabilities)
        return np.asarray(self.reached & (confidence >= threshold), np.bool_)

    def choose(self, regions: FloatArray, threshold: float) -> RegionScores:
        """Return the scores that a cascade with this `threshold` gives the `regions` [N, 4] of the image."""
        rows = self.goes_on(threshold)
        probabilities = np.where(rows[:, None], self.fused.probabilities, self.first.probabilities)
        if self.fused.boxes is None:
            return RegionScores(probabilities)
        stopped = regions[:, None] if self.first.boxes is None else self.first.boxes
        return RegionScores(probabilities, np.where(rows[:, None, None], self.fused.boxes, stopped))


def stage_regions(cascade: Cascade, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[StageScores]:
    """Return the scores of the regions of each image with and without the networks after the next threshold.

    The next threshold is the one after those of the cascade. Errors are those of `score_regions`.
    """
    if not images:
        return []
    # A threshold of 0 lets all regions go on, and makes a stage of the networks before it.
    cascade = replace(cascade, thresholds=(*cascade.thresholds, 0.0))
    first, fused, reached = [], [], []
    for group, stages in score_groups(cascade, images, boxes):
        first.append(merge_stages(stages[:-1], group))
        fused.append(merge_stages(stages, group))
        rows, _ = stages[-2]
        reached.append(np.isin(np.arange(sum(map(len, group))), as_numpy(rows)))
    by_image = np.split(np.concatenate(reached), np.cumsum([len(image_boxes) for image_boxes in boxes])[:-1])
    first_by_image, fused_by_image = (split_by_image(cascade, scores, boxes) for scores in (first, fused))
    return [StageScores(*parts) for parts in zip(first_by_image, fused_by_image, by_image, strict=True)]


def last_within(precisions: Sequence[float], *, max_loss: float) -> int:
    """Return the row of the highest threshold up to which no precision is more than `max_loss` below that of row 0.

    The rows have rising thresholds; row 0 has the threshold 0, with which all networks score all regions. A loss of
    exactly `max_loss` is allowed; an unknown precision, nan, is not.
    """
    within = [precisions[0] - precision <= max_loss for precision in precisions[1:]]
    return within.index(False) if False in within else len(within)
