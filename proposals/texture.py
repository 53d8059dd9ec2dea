"""Texture of pixels: derivatives in eight directions, as steps of a histogram (Uijlings et al., IJCV 2013, section 3.2).

The paper has Gaussian derivatives. OpenCV has Scharr's, and turns the image for those between the axes; so does this
module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.arrays import FloatArray, Image
from proposals.compilation import compiled

BINS = 10
"""Of the histogram of a direction."""

CODES = 2 * BINS
"""Of an axis: the bin of a derivative above zero, or ten more than the bin of another one."""


def texture_codes(image: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The texture of an image [H, W, 3]: codes uint8 [4, H, W, 3], and the bins of zero, uint8 [4, 3, 2].

    The axes are horizontal, vertical and the two diagonals. A derivative belongs to one of the two directions of its
    axis; in the other one it counts as zero, whose bin the second array has, that of the positive direction first. The
    bins of a direction span its derivatives in the whole image, channel by channel.
    """
    codes = np.empty((4, *image.shape), np.uint8)
    zeros = np.empty((4, image.shape[2], 2), np.uint8)
    for axis, derivative in enumerate(_derivatives(image)):
        _encode(derivative, codes[axis], zeros[axis])
    return codes, zeros


def _derivatives(image: Image) -> Iterator[FloatArray]:
    """Along the four axes: float32 [H, W, 3] each."""
    for direction in ((1, 0), (0, 1)):
        yield np.asarray(cv2.Scharr(image, cv2.CV_32F, *direction), np.float32)
    height, width = image.shape[:2]
    center = width / 2, height / 2
    corners = cv2.boxPoints((center, (width, height), 45.0))
    turned_width, turned_height = (math.ceil(most) - math.floor(least) + 1 for least, most in _ranges(corners))
    there = cv2.getRotationMatrix2D(center, 45.0, 1.0)
    there[:, 2] += turned_width / 2 - center[0], turned_height / 2 - center[1]
    turned = cv2.warpAffine(image, there, (turned_width, turned_height))
    # Back, OpenCV turns about whole pixels and then cuts the image out.
    back = cv2.getRotationMatrix2D((turned_width // 2, turned_height // 2), -45.0, 1.0)
    back[:, 2] -= (turned_width - width) // 2, (turned_height - height) // 2
    for direction in ((1, 0), (0, 1)):
        derivative = cv2.Scharr(turned, cv2.CV_32F, *direction)
        yield np.asarray(cv2.warpAffine(derivative, back, (width, height)), np.float32)


def _ranges(points: FloatArray) -> Iterator[tuple[float, float]]:
    yield from zip(points.min(axis=0), points.max(axis=0), strict=True)


@compiled
def _encode(derivative: FloatArray, codes: NDArray[np.uint8], zeros: NDArray[np.uint8]) -> None:
    """Write the codes [H, W, C] and the bins of zero [C, 2] of derivatives [H, W, C]."""
    height, width, channels = derivative.shape
    least, most = derivative[0, 0].copy(), derivative[0, 0].copy()
    for y in range(height):
        for x in range(width):
            for channel in range(channels):
                value = derivative[y, x, channel]
                least[channel] = min(least[channel], value)
                most[channel] = max(most[channel], value)
    for channel in range(channels):
        upper_scale, upper_shift = _to_byte(max(least[channel], 0), max(most[channel], 0))
        lower_scale, lower_shift = _to_byte(min(least[channel], 0), min(most[channel], 0))
        zeros[channel, 0], zeros[channel, 1] = _bin(upper_shift), _bin(lower_shift)
        for y in range(height):
            for x in range(width):
                value = derivative[y, x, channel]
                if value > 0:
                    codes[y, x, channel] = _bin(value * upper_scale + upper_shift)
                else:
                    codes[y, x, channel] = BINS + _bin(value * lower_scale + lower_shift)


@compiled
def _to_byte(least: float, most: float) -> tuple[float, float]:
    """Scale and shift, float32, that bring a range to 0-255."""
    if least == most:
        return np.float32(0), np.float32(0)
    extent = np.float64(most) - np.float64(least)
    return np.float32(255 / extent), np.float32(-255 * np.float64(least) / extent)


@compiled
def _bin(value: float) -> int:
    """The bin of a float32 in 0-255, which OpenCV rounds to a byte first."""
    return np.uint8(np.float32(min(max(np.rint(value), 0), 255)) / np.float32(256 / BINS))
