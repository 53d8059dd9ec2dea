"""Test crops of a whole image: 1, 10 or 144 parts whose scores are averaged.

The 10 crops are AlexNet's (NIPS 2012, section 4.1), the 144 crops GoogLeNet's (arXiv 1409.4842, section 7). Both papers
resize the image and then cut out pixels. Here a crop is a box in the original image, which `warp_regions` resizes once.
All sizes are proportions, so they suit any input size: for a network of 64 pixels, too, the crop at scale 256 is 7/8 of
the short side.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from classifier.warp.crop import MAX_PIXELS, shrink_to, warp_regions
from detection.structures.arrays import BoolArray, FloatArray, Image, IntArray

CROP_SIDE = 224
SCALES = (256, 288, 320, 352)
"""Short sides, in pixels, to which the papers resize the image before they cut out squares of `CROP_SIDE` pixels."""
SQUARES = (0.5, 0.0, 1.0)
"""Positions of a square along the longer side: centre, left or top, right or bottom. They are shares, 0-1, of the
distance that it can be moved."""
POSITIONS = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Positions (x, y) of a crop in its square, in the same unit: the centre, then the four corners."""
COUNTS = (1, 10, 144)


class Crops(NamedTuple):
    """K crops of an image: `boxes` [K, 4] float32 xyxy in pixels, and `mirrored` [K], True if flipped."""

    boxes: FloatArray
    mirrored: BoolArray

    def distinct(self) -> tuple[Crops, IntArray]:
        """Return the crops without repetitions, and for each of the K crops its index among these [K]."""
        rows = np.column_stack([self.boxes, self.mirrored])
        unique, positions = np.unique(rows, axis=0, return_inverse=True)
        return Crops(unique[:, :4], unique[:, 4] > 0), positions.reshape(-1).astype(np.int64)


def evaluation_crops(size: tuple[int, int], count: int) -> Crops:
    """Return the `count` test crops, all inside of an image of `size` (height, width).

    The 144 crops are 4 scales x 3 squares along the longer side x (the centre, 4 corners, the whole square), each also
    mirrored. The 10 crops are the centre and the corners of the central square at scale 256, each also mirrored. A
    single crop is the centre. Smaller sets are the beginning of larger ones. Crops repeat where squares coincide: in a
    square image, and for the whole squares of the four scales. The counts are those of the papers, with repetitions.

    Raises:
        ValueError: if `count` is not 1, 10 or 144, or the image has no pixels.
    """
    if count not in COUNTS:
        raise ValueError(f"count must be one of {', '.join(map(str, COUNTS))}, got {count}")
    if min(size) < 1:
        raise ValueError(f"size must be a height and width of at least 1, got {size}")
    boxes = [box for scale, square in product(SCALES, SQUARES) for box in _crops_of_square(size, scale, square)]
    mirrored = np.tile([False, True], len(boxes))
    return Crops(np.repeat(np.array(boxes, np.float32), 2, axis=0)[:count], mirrored[:count])


def cut_crops(image: Image, crops: Crops, *, size: int, device: torch.device) -> Tensor:
    """Cut crops out of an image [H, W, 3], as RGB minus mean [K, 3, S, S], where S is `size`."""
    smaller, boxes = shrink_to(MAX_PIXELS, image, crops.boxes)
    pixels = torch.from_numpy(smaller).to(device)
    regions = warp_regions(pixels[None], torch.from_numpy(boxes)[None], size=size)[0]
    mirrored = torch.from_numpy(crops.mirrored).to(device)
    return torch.where(mirrored.view(-1, 1, 1, 1), regions.flip(3), regions)


def _crops_of_square(size: tuple[int, int], scale: int, square: float) -> list[tuple[float, float, float, float]]:
    """Return the boxes of the centre, the four corners and the whole of a square as long as the short side."""
    height, width = size
    short = min(size)
    left, top = (width - short) * square, (height - short) * square  # one of them is 0
    side = short * CROP_SIDE / scale
    corners = [(left + (short - side) * x, top + (short - side) * y) for x, y in POSITIONS]
    return [(x, y, x + side, y + side) for x, y in corners] + [(left, top, left + short, top + short)]
