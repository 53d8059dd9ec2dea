"""Mosaics: images that are made of several pictures of a data set, with all their objects, for training a proposer.

`layout.py` says where the pictures lie, and `batch.py` makes batches of mosaics.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from detection.datasets.annotated_images import read_annotated_image
from detection.errors import InputError
from detection.image import read_image, read_image_size
from detection.structures.arrays import BoolArray, FloatArray, Image
from detection.structures.boxes import as_boxes, box_area, clip_boxes
from detection.structures.ground_truth import GroundTruth, checksum_of
from detection.training.decoded_images import ImageReader
from detection.training.sample_order import SampleKey
from proposals.multibox.proposer import resize
from proposals.multibox.training.layout import Layout, Placement, Rectangle

VISIBLE = 0.6
"""The share of an object's area that has to be visible, since nobody can tell where a mostly hidden object ends."""

MIN_SIDE = 6.0
"""The least side of an object, in pixels of the canvas; smaller ones are too small to learn from."""


class Mosaic(NamedTuple):
    """A square image [S, S, 3] with its objects.

    `boxes` [M, 4] xyxy in pixels are the objects; `ignored` [I, 4] are boxes that are neither objects nor background;
    `paths` are the files of its pictures. If `filler` is true, the mosaic only fills up a batch and counts for nothing.
    """

    image: Image
    boxes: FloatArray
    ignored: FloatArray
    paths: tuple[Path, ...]
    filler: bool = False


class Mosaics(Dataset[Mosaic]):
    """The mosaics of a data set: `mosaics[key]` is a function of the seed and the key.

    A mosaic shows the picture `key.record` and random others. A layout of one whole picture gives that picture, resized
    to a square.

    Args:
        records: the pictures with their ground truth.
        layout: draws where the pictures lie.
        size: side S of the mosaics, in pixels.
        seed: the seed of all random numbers.

    Attributes:
        read: returns the pixels of a file; by default it decodes the file each time.

    Raises:
        InputError: if there are no images.
    """

    def __init__(self, records: Sequence[GroundTruth], layout: Layout, *, size: int, seed: int) -> None:
        if not records:
            raise InputError("mosaics: expected images to make them of, got a split without any")
        self.records = records
        self.layout = layout
        self.size = size
        self.seed = seed
        self.read: ImageReader = read_image

    def __len__(self) -> int:
        return len(self.records)

    def checksum(self) -> int:
        """Return the CRC-32 of the names of the pictures and of their objects."""
        return checksum_of(self.records)

    def __getitem__(self, key: SampleKey) -> Mosaic:
        generator = key.generator(self.seed)
        placements = self.layout.draw(key.record, len(self), generator)
        canvas = np.empty((self.size, self.size, 3), np.uint8)
        canvas[:] = generator.integers(0, 256, 3)
        records = [self.records[placement.record] for placement in placements]
        sizes = []
        for placement, record in zip(placements, records, strict=True):
            picture = read_annotated_image(record, self.read)
            sizes.append(picture.shape[:2])
            self._paint(canvas, picture, placement)
        return Mosaic(canvas, *self._objects(placements, sizes), tuple(record.path for record in records))

    def boxes(self, key: SampleKey) -> FloatArray:
        """Return the boxes of `mosaics[key]` without decoding an image."""
        placements = self.layout.draw(key.record, len(self), key.generator(self.seed))
        return self._objects(placements, [read_image_size(self.records[place.record].path) for place in placements])[0]

    def _paint(self, canvas: Image, picture: Image, placement: Placement) -> None:
        x1, y1, x2, y2 = _in_pixels(placement.target, (self.size, self.size))
        left, top, right, bottom = _in_pixels(placement.crop, picture.shape[:2])
        part = resize(picture[top:bottom, left:right], (y2 - y1, x2 - x1))
        canvas[y1:y2, x1:x2] = part[:, ::-1] if placement.mirrored else part

    def _objects(
        self, placements: Sequence[Placement], sizes: Sequence[tuple[int, ...]]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the boxes of objects and of ignored objects, given the (height, width) of each picture."""
        topmost = np.full((self.size, self.size), -1)  # the index of the picture that is visible in each pixel
        for index, placement in enumerate(placements):
            x1, y1, x2, y2 = _in_pixels(placement.target, (self.size, self.size))
            topmost[y1:y2, x1:x2] = index
        objects, ignored = [as_boxes([])], [as_boxes([])]
        for index, (placement, size) in enumerate(zip(placements, sizes, strict=True)):
            record = self.records[placement.record]
            boxes, areas = self._mapped(record.boxes, placement, size)
            is_visible = topmost == index
            visible = np.array([_visible_area(is_visible, box) for box in boxes])
            large = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(axis=1)
            counted = large & (visible >= VISIBLE * areas) & ~record.ignored
            objects.append(boxes[counted])
            ignored.append(boxes[~counted & (visible > 0)])
        return np.concatenate(objects), np.concatenate(ignored)

    def _mapped(self, boxes: FloatArray, placement: Placement, size: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Move boxes [M, 4] of a picture to the canvas; return them clipped to the target, and the unclipped areas."""
        x1, y1, x2, y2 = _in_pixels(placement.target, (self.size, self.size))
        left, top, right, bottom = _in_pixels(placement.crop, size)
        scale = np.array([x2 - x1, y2 - y1]) / (right - left, bottom - top)
        moved = (boxes - np.tile((left, top), 2)) * np.tile(scale, 2)
        if placement.mirrored:
            moved[:, [0, 2]] = (x2 - x1) - moved[:, [2, 0]]
        moved = moved.astype(np.float32)
        cut = clip_boxes(moved, (y2 - y1, x2 - x1)) + np.array([x1, y1, x1, y1], np.float32)
        return cut, box_area(moved)


class MeasuredMosaics(Dataset[Mosaic]):
    """The first `count` mosaics of an epoch that is not shuffled, the same in every run, for validation."""

    def __init__(self, mosaics: Mosaics, count: int) -> None:
        self.mosaics = mosaics
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Mosaic:
        return self.mosaics[self.key(index)]

    def key(self, index: int) -> SampleKey:
        """Return the key of a mosaic; the first pictures of the mosaics are evenly spaced over the split."""
        return SampleKey(0, index, index * len(self.mosaics) // self.count)


def as_filler(mosaic: Mosaic) -> Mosaic:
    """Return the same mosaic as a filler: it fills up the batches of a process and counts for nothing."""
    return mosaic._replace(filler=True)


def _in_pixels(rectangle: Rectangle, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the corners xyxy of a rectangle in a picture of `size` (height, width), in whole pixels, at least one."""
    height, width = size
    x1, y1 = min(round(rectangle[0] * width), width - 1), min(round(rectangle[1] * height), height - 1)
    return x1, y1, max(round(rectangle[2] * width), x1 + 1), max(round(rectangle[3] * height), y1 + 1)


def _visible_area(visible: BoolArray, box: FloatArray) -> float:
    """Return the visible area of a box in square pixels, given which pixels of the canvas are visible."""
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    inside = visible[y1:y2, x1:x2]
    return float(inside.mean() * np.prod(box[2:] - box[:2])) if inside.size else 0.0
