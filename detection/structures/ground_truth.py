"""The annotated objects of an image, as the readers of data sets return them."""

import zlib
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from detection.errors import InputError
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes, as_labels, check_one_a_box

NOTHING_IGNORED: BoolArray = np.zeros(0, np.bool_)
"""The default of `GroundTruth.ignored`, which stands for False for every object."""


class StatedSize(NamedTuple):
    """The height and width of an image by its annotation, and the file and line of the data set that list the image."""

    height: int
    width: int
    place: str


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
        stated_size: the size of the image by its annotation, or None if the annotation does not tell.

    Raises:
        ValueError: naming the image, if the lengths differ, a box is malformed, a label is no integer or negative, or
            `ignored` is not of type bool.
    """

    image_id: str
    path: Path
    boxes: FloatArray
    labels: IntArray
    ignored: BoolArray = field(default_factory=lambda: NOTHING_IGNORED)
    stated_size: StatedSize | None = None

    def __post_init__(self) -> None:
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"ground truth of image {self.image_id}: {error}") from error

    def _check(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "labels", as_labels(self.labels))
        if self.ignored is NOTHING_IGNORED:
            object.__setattr__(self, "ignored", np.zeros(len(self), np.bool_))
        check_one_a_box(len(self), labels=self.labels, ignored=self.ignored)
        if len(self) and self.labels.min() < 0:
            raise ValueError(f"labels must be 0 or more, got {self.labels.min()}")
        if self.ignored.dtype != np.bool_:
            raise ValueError(f"ignored must be bool, got {self.ignored.dtype}")

    def __len__(self) -> int:
        return len(self.boxes)

    def stating(self, stated_size: StatedSize) -> Self:
        """Return a copy with the size of the image by its annotation; the objects are not checked again."""
        record = copy(self)
        object.__setattr__(record, "stated_size", stated_size)
        return record

    def require_size(self, size: tuple[int, int]) -> None:
        """Check that the annotation is of an image of this `size` (height, width), which its file has.

        Raises:
            InputError: naming the file and both sizes, if the annotation states another size; or naming a box that lies
                wholly outside of the image, unless its object is ignored.
        """
        height, width = size
        stated = self.stated_size
        if stated is not None and stated[:2] != (height, width):
            raise InputError(
                f"{self.path}: expected {stated.width}x{stated.height} px as in {stated.place}, got {width}x{height} "
                "(with its EXIF orientation applied)"
            )
        outside = (self.boxes[:, :2] >= (width, height)).any(axis=1) | (self.boxes[:, 2:] <= 0).any(axis=1)
        if outside.any() and (outside := outside & ~self.ignored).any():
            box = self.boxes[outside][0].tolist()
            raise InputError(f"{self.path}: expected boxes within the image of {width}x{height} px, got {box}")


def checksum_of(records: Iterable[GroundTruth]) -> int:
    """Return the CRC-32 of the names of the images and of all their objects, in the order of the records."""
    checksum = 0
    for record in records:
        name = f"{record.image_id}\n{len(record)}\n".encode("utf-8", "surrogatepass")
        objects = (record.boxes.tobytes(), record.labels.tobytes(), record.ignored.tobytes())
        checksum = zlib.crc32(b"".join((name, *objects)), checksum)
    return checksum
