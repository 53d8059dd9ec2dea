"""Texture of pixels: derivatives in eight directions, as bins of histograms (Uijlings et al., IJCV 2013, section 3.2).

The paper has Gaussian derivatives. OpenCV has Scharr's, and turns the image for those between the axes; so does this
module.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image

BINS = 10
"""Of the histogram of a direction."""


def texture_codes(image: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The texture of an image [H, W, 3]: codes uint8 [channel, axis, H, W], and the bins of zero, [channel, axis, 2].

    The axes are horizontal, vertical and the two diagonals. A derivative above zero belongs to the first direction of
    its axis, and its code is its bin, 0-9; any other belongs to the second direction, and its code is its bin and ten.
    In the direction to which it does not belong, a derivative counts as zero, whose bin is in the second array. Bins
    span the derivatives of the whole image, channel by channel.
    """
    channels = image.shape[2]
    codes = np.empty((channels, 4, *image.shape[:2]), np.uint8)
    zeros = np.empty((channels, 4, 2), np.uint8)
    for axis, derivatives in enumerate(_derivatives(image)):
        for channel, derivative in enumerate(cv2.split(derivatives)):
            least, most, *_ = cv2.minMaxLoc(derivative)
            scales = [_to_byte(max(least, 0), max(most, 0)), _to_byte(min(least, 0), min(most, 0))]
            zeros[channel, axis] = _encode(
                np.asarray(derivative, np.float32), np.array(scales, np.float32), codes[channel, axis]
            )
    return codes, zeros


def _derivatives(image: Image) -> Iterator[FloatArray]:
    """Along the four axes: float32 [H, W, C] each."""
    for direction in ((1, 0), (0, 1)):
        yield np.asarray(cv2.Scharr(image, cv2.CV_32F, *direction), np.float32)
    height, width = image.shape[:2]
    center = width / 2, height / 2
    corners = cv2.boxPoints((center, (width, height), 45.0))
    turned_width, turned_height = np.ceil(corners.max(axis=0)) - np.floor(corners.min(axis=0)) + 1
    there = cv2.getRotationMatrix2D(center, 45.0, 1.0)
    there[:, 2] += turned_width / 2 - center[0], turned_height / 2 - center[1]
    turned = cv2.warpAffine(image, there, (int(turned_width), int(turned_height)))
    # Back, OpenCV turns about a whole pixel and then cuts out the image, a very narrow one not from the middle.
    back = cv2.getRotationMatrix2D((turned_width // 2, turned_height // 2), -45.0, 1.0)
    back[:, 2] -= max(0, (turned_width - width) // 2), max(0, (turned_height - height) // 2)
    for direction in ((1, 0), (0, 1)):
        derivatives = cv2.Scharr(turned, cv2.CV_32F, *direction)
        yield np.asarray(cv2.warpAffine(derivatives, back, (width, height)), np.float32)


def _to_byte(least: float, most: float) -> tuple[float, float]:
    """Scale and shift that bring a range to 0-255; a range of one value to 0."""
    return (255 / (most - least), -255 * least / (most - least)) if most > least else (0.0, 0.0)


@compiled
def _encode(derivative: FloatArray, scales: FloatArray, codes: NDArray[np.uint8]) -> tuple[np.uint8, np.uint8]:
    """Write the codes [H, W] of a derivative [H, W]; returns the bins of zero.

    Args:
        derivative: float32.
        scales: float32 [2, 2], of both directions, scale and shift.
        codes: written.
    """
    for y in range(derivative.shape[0]):
        for x in range(derivative.shape[1]):
            value = derivative[y, x]
            above, below = _bin(value, scales[0]), _bin(value, scales[1])
            codes[y, x] = above if value > 0 else BINS + below
    return _bin(np.float32(0), scales[0]), _bin(np.float32(0), scales[1])


@compiled
def _bin(value: np.float32, scale: FloatArray) -> np.uint8:
    """The bin of a derivative. OpenCV rounds it to a byte first, halves to even."""
    byte = np.rint(value * scale[0] + scale[1])
    return np.uint8(min(max(byte, np.float32(0)), np.float32(255)) / np.float32(256 / BINS))
