"""Which of the annotated objects proposals find: recall against their number, the upper bound of any detector's.

An object is found at an IoU if any of the boxes overlaps it by so much or more, as Uijlings et al. count (IJCV 2013,
section 5). COCO's average recall lets no box serve for two objects: another result only where one box fits both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import box_area, box_iou
from detection.structures.object_sizes import SMALL_AREA, size_classes

IOU_THRESHOLD = 0.5
"""At which the paper's coverage counts (arXiv 1409.4842, section 8)."""

AVERAGED_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Those of COCO's average recall: 0.50, 0.55, ..., 0.95."""


def best_overlaps(boxes: FloatArray, objects: FloatArray, counts: Sequence[int]) -> NDArray[np.float64]:
    """The largest IoU of each object with the first so many boxes: [N, 4], [M, 4], K counts -> [M, K + 1].

    The last column is for all boxes, as is any whose count is larger than N; without boxes all is 0. Overlaps are
    float64, so that one of exactly 0.5 between boxes at whole pixels counts.

    Raises:
        ValueError: if a count is below 1.
    """
    if any(count < 1 for count in counts):
        raise ValueError(f"counts must be 1 or more, got {list(counts)}")
    if not len(boxes):
        return np.zeros((len(objects), len(counts) + 1))
    exact: tuple[NDArray[Any], NDArray[Any]] = (objects.astype(np.float64), boxes.astype(np.float64))
    best = np.maximum.accumulate(box_iou(*exact), axis=1)  # [M, N]
    lasts = [min(count, len(boxes)) - 1 for count in (*counts, len(boxes))]
    overlaps: NDArray[np.float64] = best[:, lasts].astype(np.float64, copy=False)
    return overlaps


def covered_count(boxes: FloatArray, objects: FloatArray) -> int:
    """How many of the objects [M, 4] a box [N, 4] overlaps by `IOU_THRESHOLD` or more."""
    return int((best_overlaps(boxes, objects, [])[:, -1] >= IOU_THRESHOLD).sum())


def size_groups(objects: FloatArray) -> dict[str, BoolArray]:
    """Which of the objects [M, 4] are of each size of COCO's, by the area of their boxes: name -> [M].

    COCO's rules go by the area of the mask instead, which boxes do not have.
    """
    areas = box_area(objects)
    return {
        "all": np.ones(len(objects), np.bool_),
        "above 32x32": areas > SMALL_AREA,
        **size_classes(areas),
    }


@dataclass(frozen=True, eq=False)
class Coverage:
    """What the first so many proposals find, for K counts and then for all: every array has K + 1 columns.

    `overlaps` [M, K + 1] as `best_overlaps` gives them, of the objects of all images; `proposal_counts` int64 [I] of
    the images; `counts` [K].

    Raises:
        ValueError: at construction, if the columns are not as many as the counts and one.
    """

    counts: tuple[int, ...]
    overlaps: NDArray[np.float64]
    proposal_counts: IntArray

    def __post_init__(self) -> None:
        if self.overlaps.ndim != 2 or self.overlaps.shape[1] != len(self.counts) + 1:
            raise ValueError(f"overlaps must have shape [M, {len(self.counts) + 1}], got {list(self.overlaps.shape)}")

    def recall(self, chosen: BoolArray, iou_threshold: float = IOU_THRESHOLD) -> NDArray[np.float64]:
        """The share [K + 1] of the `chosen` objects [M] that is found, 0-1; nan if none is chosen."""
        if not chosen.any():
            return np.full(self.overlaps.shape[1], np.nan)
        found: NDArray[np.float64] = (self.overlaps[chosen] >= iou_threshold).mean(axis=0)
        return found

    def average_recall(self, chosen: BoolArray) -> NDArray[np.float64]:
        """The mean [K + 1] of the recall at `AVERAGED_THRESHOLDS`."""
        recalls = np.array([self.recall(chosen, threshold) for threshold in AVERAGED_THRESHOLDS])  # [T, K + 1]
        means: NDArray[np.float64] = recalls.mean(axis=0)
        return means

    def proposals_per_image(self) -> NDArray[np.float64]:
        """How many boxes the first so many were [K + 1]: fewer than the count where images have fewer; nan for none."""
        if not len(self.proposal_counts):
            return np.full(len(self.counts) + 1, np.nan)
        most = np.array([*self.counts, self.proposal_counts.max()])
        means: NDArray[np.float64] = np.minimum(self.proposal_counts[:, None], most).mean(axis=0)
        return means
