"""Labelled regions to train on, and the objects that they are drawn from, for all images of a batch at once.

The labels follow R-CNN (arXiv 1311.2524, section 2.3): a region is foreground if its IoU with a ground truth is at
least 0.5, and background otherwise. `from_proposals.py` draws regions from proposals, and `around_objects.py` from
random boxes around the ground truth. `region_samples.py` calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import paired_iou

FOREGROUND_IOU = 0.5
BACKGROUND = 0


class SampledBoxes(NamedTuple):
    """R regions to train on.

    `boxes` [R, 4] xyxy in pixels; `labels` [R], 0 for background and c + 1 for class c; `targets` [R, 4], the ground
    truth that a foreground region stands for, or the region itself where it is background.
    """

    boxes: FloatArray
    labels: IntArray
    targets: FloatArray

    def take(self, rows: slice) -> SampledBoxes:
        """Return the regions of some rows."""
        return SampledBoxes(self.boxes[rows], self.labels[rows], self.targets[rows])


class Objects(NamedTuple):
    """The objects of n images, padded to the number M of objects of the fullest image (at least 1).

    `boxes` [n, M, 4] xyxy in pixels, where the padding has no area; `labels` [n, M], 0-based; `counts` [n], the number
    of objects of each image.
    """

    boxes: FloatArray
    labels: IntArray
    counts: IntArray

    def take(self, images: IntArray) -> Objects:
        """Return the objects of the images with the indices `images` [N], which may repeat."""
        return Objects(self.boxes[images], self.labels[images], self.counts[images])


class ObjectLists:
    """The objects of many images, from which those of a batch are taken at once.

    Args:
        boxes: the boxes [M, 4] of each image.
        labels: the labels [M] of each image.
    """

    def __init__(self, boxes: Sequence[FloatArray], labels: Sequence[IntArray]) -> None:
        self._counts = np.array([len(image_boxes) for image_boxes in boxes], np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._boxes = np.concatenate([*boxes, np.zeros((1, 4), np.float32)])  # the last row is the padding
        self._labels = np.concatenate([*labels, np.zeros(1, np.int64)])

    def __getitem__(self, images: IntArray) -> Objects:
        """Return the objects of the images with the indices `images` [n]."""
        counts = self._counts[images]
        columns = np.arange(counts.max(initial=1))
        rows = np.where(columns < counts[:, None], self._starts[images][:, None] + columns, len(self._boxes) - 1)
        return Objects(self._boxes[rows], self._labels[rows], counts)


def even_quota(positions: IntArray, fraction: float) -> BoolArray:
    """Return which of some positions of an endless order belong to an evenly spread `fraction` of all positions.

    Any n positions in a row hold `fraction` * n of them, rounded up or down; so does each batch. The result has the
    shape of `positions`.
    """
    return np.asarray(np.floor((positions + 1) * fraction) > np.floor(positions * fraction), np.bool_)


def label_regions(regions: FloatArray, matched: IntArray, objects: Objects) -> SampledBoxes:
    """Return regions [N, 4] with labels and targets.

    Args:
        regions: the regions [N, 4].
        matched: [N], the index of the object that each region stands for, or -1 for background.
        objects: the objects of the image of each region.
    """
    rows, foreground = np.arange(len(regions)), matched >= 0
    index = np.maximum(matched, 0)
    targets = np.where(foreground[:, None], objects.boxes[rows, index], regions)
    return SampledBoxes(regions, np.where(foreground, objects.labels[rows, index] + 1, BACKGROUND), targets)


def keep_apart(ignored: Objects, boxes: FloatArray, counts: IntArray) -> tuple[FloatArray, IntArray]:
    """Remove the boxes that overlap an ignored object of their image by an IoU of 0.5 or more.

    Args:
        ignored: the ignored objects of n images.
        boxes: [P, 4] of all images, one image after the other.
        counts: [n], the number of boxes of each image.

    Returns:
        The boxes that are left, and their number in each image [n].
    """
    if not ignored.counts.any():
        return boxes, counts
    images = np.repeat(np.arange(len(counts)), counts)
    kept = np.ones(len(boxes), np.bool_)
    for index in range(ignored.boxes.shape[1]):
        kept &= paired_iou(boxes, ignored.boxes[images, index]) < FOREGROUND_IOU
    return boxes[kept], np.bincount(images[kept], minlength=len(counts))


def apart_from(ignored: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the boxes [N, 4] of one image that no ignored object [I, 4] overlaps by an IoU of 0.5 or more."""
    objects = ObjectLists([ignored], [np.zeros(len(ignored), np.int64)])[np.array([0])]
    return keep_apart(objects, boxes, np.array([len(boxes)]))[0]
