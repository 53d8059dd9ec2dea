"""The coverage of proposals: the recall of the annotated objects, which is an upper bound of any detector's recall.

An object is found at an IoU threshold if the IoU of any box with it is the threshold or more, as Uijlings et al. count
(IJCV 2013, section 5). COCO's average recall counts a box for only one object, which differs where a box fits two.
The training of MultiBox, `detect-coverage` and `detect-evaluate` use this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import box_area, paired_iou
from detection.structures.object_sizes import SMALL_AREA, size_classes

IOU_THRESHOLD = 0.5
"""The IoU threshold of the coverage in the paper on GoogLeNet (arXiv 1409.4842, section 8)."""

AVERAGED_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""The IoU thresholds of COCO's average recall: 0.50, 0.55, ..., 0.95."""


def best_overlaps(boxes: FloatArray, objects: FloatArray, counts: Sequence[int]) -> NDArray[np.float64]:
    """Return the largest IoU of each object with the first `count` boxes: [N, 4], [M, 4], K counts -> [M, K + 1].

    The last column is for all boxes, and so is any column whose count is larger than N; without boxes all IoUs are 0.
    They are float64, so that an IoU of exactly 0.5 between boxes at whole pixels counts.

    Raises:
        ValueError: if a count is below 1.
    """
    if any(count < 1 for count in counts):
        raise ValueError(f"counts must be 1 or more, got {list(counts)}")
    if not len(boxes):
        return np.zeros((len(objects), len(counts) + 1))
    overlaps = paired_iou(objects[:, None].astype(np.float64), boxes[None].astype(np.float64))  # [M, N]
    last_positions = [min(count, len(boxes)) - 1 for count in (*counts, len(boxes))]
    return np.asarray(np.maximum.accumulate(overlaps, axis=1)[:, last_positions], np.float64)


def covered_count(boxes: FloatArray, objects: FloatArray) -> int:
    """Return the number of objects [M, 4] whose IoU with a box [N, 4] is `IOU_THRESHOLD` or more."""
    return int((best_overlaps(boxes, objects, [])[:, -1] >= IOU_THRESHOLD).sum())


def size_groups(objects: FloatArray) -> dict[str, BoolArray]:
    """Return the objects [M, 4] of each of COCO's sizes, by the area of their boxes, as name -> mask [M].

    COCO uses the area of the segmentation mask instead, which boxes do not have.
    """
    areas = box_area(objects)
    return {"all": np.ones(len(objects), np.bool_), "above 32x32": areas > SMALL_AREA, **size_classes(areas)}


@dataclass(frozen=True, eq=False)
class Coverage:
    """The coverage of the first proposals of each image, for K numbers of proposals and then for all of them.

    `counts` are the K numbers; `overlaps` [M, K + 1] those of `best_overlaps`, of the objects of all images;
    `proposal_counts` int64 [I] the number of proposals of each image.

    Raises:
        ValueError: at construction, if `overlaps` does not have K + 1 columns.
    """

    counts: tuple[int, ...]
    overlaps: NDArray[np.float64]
    proposal_counts: IntArray

    def __post_init__(self) -> None:
        if self.overlaps.ndim != 2 or self.overlaps.shape[1] != len(self.counts) + 1:
            raise ValueError(f"overlaps must have shape [M, {len(self.counts) + 1}], got {list(self.overlaps.shape)}")

    def recall(self, chosen: BoolArray, iou_threshold: float = IOU_THRESHOLD) -> NDArray[np.float64]:
        """Return the share [K + 1] of the `chosen` objects (a mask [M]) that is found, 0-1; nan if none is chosen."""
        if not chosen.any():
            return np.full(self.overlaps.shape[1], np.nan)
        return np.asarray((self.overlaps[chosen] >= iou_threshold).mean(axis=0), np.float64)

    def average_recall(self, chosen: BoolArray) -> NDArray[np.float64]:
        """Return the mean [K + 1] of the recall at `AVERAGED_THRESHOLDS`."""
        recalls = np.array([self.recall(chosen, threshold) for threshold in AVERAGED_THRESHOLDS])  # [T, K + 1]
        return np.asarray(recalls.mean(axis=0), np.float64)

    def proposals_per_image(self) -> NDArray[np.float64]:
        """Return the mean number of proposals per image [K + 1], at most the counts; nan if there are no images."""
        if not len(self.proposal_counts):
            return np.full(len(self.counts) + 1, np.nan)
        most = np.array([*self.counts, self.proposal_counts.max()])
        return np.asarray(np.minimum(self.proposal_counts[:, None], most).mean(axis=0), np.float64)
