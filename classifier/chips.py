"""Small pictures of single regions, so that a batch takes little memory, however large its images are."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from classifier.warp import context_boxes
from detection.arrays import FloatArray, Image

MARGIN = 2
"""Pixels beside a region that interpolation may look at."""

OVERSAMPLING = 2
"""A region keeps this many times the pixels of the network's input on each axis, or all that it has."""


class Chip(NamedTuple):
    """A region and its surroundings: `pixels` uint8 [h, w, 3], and `boxes` [K, 4] xyxy in pixels of the chip."""

    pixels: Image
    boxes: FloatArray


def cut_chip(image: Image, region: FloatArray, others: FloatArray, *, size: int, context: int) -> Chip:
    """Cut out what `warp_regions` needs of a region, and bring it down to a size that it needs at most.

    Up to twice the size of the network's input the pixels are those of the image, so the warped region is the same.
    A larger one is first shrunk by area means, each axis by itself.

    Args:
        image: uint8 [H, W, 3].
        region: [4] xyxy in pixels.
        others: [K, 4] boxes to be seen in the chip too, such as the ground truth; they may lie outside of it.
        size: side of the network's input.
        context: pixels of the input around the region.

    Returns:
        The chip, with the region as the first of K + 1 boxes. Overlaps and shapes of boxes, relative to each other, are
        those in the image.
    """
    height, width = image.shape[:2]
    window = context_boxes(torch.from_numpy(region), size=size, context=context).numpy()
    limits = np.array([width, height])
    start = np.clip(np.floor(window[:2]) - MARGIN, 0, limits - 1).astype(int)  # [x, y]
    end = np.clip(np.ceil(window[2:]) + MARGIN, start + 1, limits).astype(int)
    pixels = image[start[1] : end[1], start[0] : end[0]]
    sides = end - start
    share = np.minimum(1, OVERSAMPLING * size / np.maximum(window[2:] - window[:2], 1))
    kept = np.maximum(1, np.round(sides * share))
    if (kept < sides).any():
        pixels = np.asarray(cv2.resize(pixels, kept.astype(int).tolist(), interpolation=cv2.INTER_AREA), np.uint8)
    boxes = np.concatenate([region[None], others]) - np.tile(start, 2)
    return Chip(pixels, (boxes * np.tile(kept / sides, 2)).astype(np.float32))
