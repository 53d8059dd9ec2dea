"""The objects that a data set says are in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.arrays import FloatArray, IntArray
from detection.boxes import as_boxes


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated objects of one image, which may be none; what the readers of data sets yield.

    `image_id` names the image within its data set, `path` is its file. `boxes` float32 [M, 4] xyxy in pixels,
    half-open; `labels` int64 [M] are 0-based indices into the class names of the data set.

    Raises:
        ValueError: at construction, naming the image, if the arrays do not fit each other, a box is malformed or a
            label is negative.
    """

    image_id: str
    path: Path
    boxes: FloatArray
    labels: IntArray

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "boxes", as_boxes(self.boxes))
        except ValueError as error:
            raise ValueError(f"ground truth of image {self.image_id}: {error}") from error
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        count = len(self.boxes)
        if self.labels.shape != (count,):
            shape = list(self.labels.shape)
            raise ValueError(
                f"ground truth of image {self.image_id}: labels must have shape [{count}], one a box, got {shape}"
            )
        if count and self.labels.min() < 0:
            raise ValueError(
                f"ground truth of image {self.image_id}: labels must be 0 or more, got {self.labels.min()}"
            )

    def __len__(self) -> int:
        return len(self.boxes)
