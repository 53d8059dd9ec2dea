"""The parts of a whole image that a classifier is tested on: 1, 10 or 144 crops whose scores are averaged.

The 10 are AlexNet's (NIPS 2012, section 4.1), the 144 GoogLeNet's (arXiv 1409.4842, section 7). Both papers resize
the image first and cut out pixels then; here a crop is the same part of the original image, as a box, and
`warp_regions` resizes it once. Sizes are proportions, so they hold for a network of any input size: for one of
64 pixels the crop at scale 256 is also 7/8 of the short side.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from classifier.warp import warp_regions
from classifier.warp.crop import MAX_PIXELS, shrink_to
from detection.structures.arrays import BoolArray, FloatArray, Image, IntArray

CROP_SIDE = 224
SCALES = (256, 288, 320, 352)
"""Short sides to which the image is resized before squares of `CROP_SIDE` pixels are cut out."""
SQUARES = (0.5, 0.0, 1.0)
"""Places of a square along the longer side, as shares of the room that it leaves: centre, left or top, right or
bottom."""
POSITIONS = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Places x, y of a crop in its square, likewise: the centre, then the corners."""
COUNTS = (1, 10, 144)


class Crops(NamedTuple):
    """K crops of an image: `boxes` [K, 4] float32 xyxy in pixels, `mirrored` [K], left and right exchanged."""

    boxes: FloatArray
    mirrored: BoolArray

    def distinct(self) -> tuple[Crops, IntArray]:
        """The crops, each once, and where each of the K is among them [K]."""
        rows = np.column_stack([self.boxes, self.mirrored])
        unique, positions = np.unique(rows, axis=0, return_inverse=True)
        return Crops(unique[:, :4], unique[:, 4] > 0), positions.reshape(-1).astype(np.int64)


def evaluation_crops(size: tuple[int, int], count: int) -> Crops:
    """The `count` test crops of an image of `size` (height, width), all inside it.

    144: 4 scales x 3 squares along the longer side x (the centre, 4 corners, the whole square) x 2 mirrors. 10: the
    centre and corners of the central square at scale 256, mirrored too. 1: the centre alone. The order is such that a
    smaller set is the beginning of a larger one. The number is the papers': where squares coincide, as in a square
    image, and in the whole squares of the four scales, crops repeat.

    Raises:
        ValueError: for another count, or an image without pixels.
    """
    if count not in COUNTS:
        raise ValueError(f"count must be one of {', '.join(map(str, COUNTS))}, got {count}")
    if min(size) < 1:
        raise ValueError(f"size must be a height and width of at least 1, got {size}")
    boxes = [box for scale, square in product(SCALES, SQUARES) for box in _crops_of_square(size, scale, square)]
    mirrored = np.tile([False, True], len(boxes))
    return Crops(np.repeat(np.array(boxes, np.float32), 2, axis=0)[:count], mirrored[:count])


def cut_crops(image: Image, crops: Crops, *, size: int, device: torch.device) -> Tensor:
    """The crops of an image [H, W, 3] as a network's input: RGB minus mean [K, 3, S, S], S = `size`."""
    smaller, boxes = shrink_to(MAX_PIXELS, image, crops.boxes)
    pixels = torch.from_numpy(smaller).to(device)
    regions = warp_regions(pixels[None], torch.from_numpy(boxes)[None], size=size)[0]
    mirrored = torch.from_numpy(crops.mirrored).to(device)
    return torch.where(mirrored.view(-1, 1, 1, 1), regions.flip(3), regions)


def _crops_of_square(size: tuple[int, int], scale: int, square: float) -> list[tuple[float, float, float, float]]:
    """The centre, the corners, and the whole of one square, whose side is the short side of the image."""
    height, width = size
    short = min(size)
    left, top = (width - short) * square, (height - short) * square  # one of them is 0
    side = short * CROP_SIDE / scale
    corners = [(left + (short - side) * x, top + (short - side) * y) for x, y in POSITIONS]
    return [(x, y, x + side, y + side) for x, y in corners] + [(left, top, left + short, top + short)]
