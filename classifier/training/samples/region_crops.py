"""Small pictures of single regions, so that a batch takes little memory, however large its images are."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from classifier.warp.crop import context_boxes
from detection.runtime.pixels import MEAN_RGB
from detection.structures.arrays import FloatArray, Image, IntArray

MARGIN = 2
"""Pixels beside a region that interpolation may read."""

OVERSAMPLING = 2
"""A region keeps up to this many times the pixels of the network's input on each axis."""


class RegionCrops(NamedTuple):
    """N regions, each with its surroundings in a picture of its own.

    `pixels` uint8 [N, h, w, 3] has each picture at the top left; a smaller picture is padded with the mean colour, as
    `warp_regions` pads an image. `boxes` [N, K, 4] xyxy are in pixels of the picture.
    """

    pixels: Image
    boxes: FloatArray


def cut_regions(images: Sequence[Image], boxes: FloatArray, *, size: int, context: int) -> RegionCrops:
    """Cut out the pixels that `warp_regions` needs of each region, and shrink large regions.

    A region of up to twice the size of the network's input keeps the pixels of the image, so the warped region stays
    the same. A larger region is shrunk by area means, each axis by itself.

    Args:
        images: the image of each region, uint8 [H, W, 3].
        boxes: [N, K, 4] xyxy in pixels. The first of the K boxes is the region. The others, such as the ground truth,
            are only converted to pixels of the picture, and may lie outside of it.
        size: side of the network's input.
        context: pixels of the input around the region.

    Returns:
        The pictures and the boxes in them. Two boxes of a region have the same IoU as in the image.
    """
    limits = np.array([image.shape[1::-1] for image in images])  # [N, (w, h)]
    windows = context_boxes(boxes[:, 0], size=size, context=context)
    low, high = windows[:, :2], windows[:, 2:]
    start = np.clip(np.floor(low) - MARGIN, 0, limits - 1).astype(np.int64)  # [N, (x, y)]
    end = np.clip(np.ceil(high) + MARGIN, start + 1, limits).astype(np.int64)
    sides = end - start
    share = np.minimum(1, OVERSAMPLING * size / np.maximum(high - low, 1))
    kept = np.maximum(1, np.round(sides * share)).astype(np.int64)
    shifted = boxes - np.tile(start, 2)[:, None]
    scaled = shifted * np.tile(kept / sides, 2)[:, None]
    return RegionCrops(_cut(images, start, end, kept), scaled.astype(np.float32))


def _cut(images: Sequence[Image], start: IntArray, end: IntArray, kept: IntArray) -> Image:
    """Return the part of each image from `start` to `end`, shrunk to `kept` pixels: [N, h, w, 3].

    The three arrays are [N, (x, y)].
    """
    largest = kept.max(axis=0)
    pictures = np.empty((len(images), largest[1], largest[0], 3), np.uint8)
    pictures[(kept < largest).any(axis=1)] = np.round(MEAN_RGB)
    corners = zip(start.tolist(), end.tolist(), kept.tolist(), strict=True)
    for picture, image, ((left, top), (right, bottom), (width, height)) in zip(pictures, images, corners, strict=True):
        part = image[top:bottom, left:right]
        if part.shape[:2] != (height, width):
            part = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        picture[:height, :width] = part
    return pictures
