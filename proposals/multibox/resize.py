"""An image brought to the size that a network reads, whatever its own."""

from __future__ import annotations

import cv2
import numpy as np

from detection.structures.arrays import Image


def squash(image: Image, size: tuple[int, int]) -> Image:
    """The image at `size` (height, width), its aspect given up: area means where a side shrinks, else bilinear.

    The sides are changed one after the other. Both at once, OpenCV takes no means as soon as one of them grows, and a
    long strip would keep single pixels of its length.
    """
    height, width = size
    return _resize(_resize(image, image.shape[0], width), height, width)


def _resize(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0] or width < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
