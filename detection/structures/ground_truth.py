"""The annotated objects of an image, as the readers of data sets return them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes, check_one_a_box

NOTHING_IGNORED: BoolArray = np.zeros(0, np.bool_)
"""The default of `GroundTruth.ignored`, which stands for False for every object."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated objects of one image, which may be none.

    Args:
        image_id: the name of the image in its data set.
        path: the file of the image.
        boxes: float32 [M, 4], xyxy in pixels, half-open.
        labels: int64 [M], 0-based indices into the class names of the data set.
        ignored: bool [M], True for objects that count neither as found nor as missed (VOC's `difficult`, COCO's
            `iscrowd`); by default no object is.

    Raises:
        ValueError: naming the image, if the lengths differ, a box is malformed, a label is negative, or `ignored` is
            not of type bool.
    """

    image_id: str
    path: Path
    boxes: FloatArray
    labels: IntArray
    ignored: BoolArray = field(default_factory=lambda: NOTHING_IGNORED)

    def __post_init__(self) -> None:
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"ground truth of image {self.image_id}: {error}") from error

    def _check(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        if self.ignored is NOTHING_IGNORED:
            object.__setattr__(self, "ignored", np.zeros(len(self), np.bool_))
        check_one_a_box(len(self), labels=self.labels, ignored=self.ignored)
        if len(self) and self.labels.min() < 0:
            raise ValueError(f"labels must be 0 or more, got {self.labels.min()}")
        if self.ignored.dtype != np.bool_:
            raise ValueError(f"ignored must be bool, got {self.ignored.dtype}")

    def __len__(self) -> int:
        return len(self.boxes)
