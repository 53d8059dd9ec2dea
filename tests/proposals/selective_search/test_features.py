"""The texture of pixels, compared with a computation channel by channel as OpenCV does it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from detection.structures.arrays import FloatArray, Image, IntArray
from proposals.selective_search.features import texture_codes


def derivatives(plane: Image) -> list[Any]:
    """Return the derivatives of a channel along its axes, then along those of the channel turned by 45 degrees."""
    height, width = plane.shape
    reach = (height + width) / 2 * np.sqrt(0.5)
    size = [int(np.ceil(side / 2 + reach) - np.floor(side / 2 - reach)) + 1 for side in (width, height)]
    there = cv2.getRotationMatrix2D((width / 2, height / 2), 45, 1)
    there[:, 2] += np.array(size) / 2 - (width / 2, height / 2)
    turned = cv2.warpAffine(plane, there, size)
    back = cv2.getRotationMatrix2D((size[0] // 2, size[1] // 2), -45, 1)
    left, top = max(0, (size[0] - width) // 2), max(0, (size[1] - height) // 2)
    found = [cv2.Scharr(plane, cv2.CV_32F, *direction) for direction in ((1, 0), (0, 1))]
    for direction in ((1, 0), (0, 1)):
        whole = cv2.warpAffine(cv2.Scharr(turned, cv2.CV_32F, *direction), back, [2 * side for side in size])
        found.append(whole[top : top + height, left : left + width])
    return found


def bins(derivative: FloatArray) -> IntArray:
    """Return the bin of each derivative in one direction: ten equal steps of a byte from the least to the greatest."""
    extent = float(derivative.max()) - float(derivative.min())
    if extent == 0:
        return np.zeros(derivative.shape, np.int64)
    byte = np.rint((derivative.astype(float) - derivative.min()) * 255 / extent)
    return np.asarray(byte / 25.6, np.int64)


@pytest.mark.parametrize("size", [(120, 160), (119, 60), (5, 33)])
def test_channel_by_channel(photo_pixels: Image, size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(photo_pixels[: size[0], : size[1]])
    codes, zeros = texture_codes(image)
    assert codes.shape == (3, 4, *size)
    for channel in range(3):
        for axis, derivative in enumerate(derivatives(np.ascontiguousarray(image[..., channel]))):
            code, (upper_zero, lower_zero) = codes[channel, axis], zeros[channel, axis]
            upper = np.where(code < 10, code, upper_zero)
            lower = np.where(code < 10, lower_zero, code - 10)
            assert (upper == bins(np.maximum(derivative, 0))).mean() > 0.999
            assert (lower == bins(np.minimum(derivative, 0))).mean() > 0.999
            assert len(np.unique(code)) > 5


def test_step_to_the_right_derived_by_hand() -> None:
    # Scharr's kernel gives 16 times the step of 10 on both sides of it: 160, the most, is bin 9. Others are 0: bin 0 in
    # the first direction, and code 10 + 0 in the second, in which nothing is below zero.
    image = np.zeros((5, 8, 3), np.uint8)
    image[:, 4:] = 10
    codes, zeros = texture_codes(image)
    expected = np.full((5, 8), 10)
    expected[:, 3:5] = 9
    np.testing.assert_array_equal(codes[0, 0], expected)
    np.testing.assert_array_equal(codes[0, 1], np.full((5, 8), 10))
    np.testing.assert_array_equal(zeros[0, :2], [[0, 0], [0, 0]])


def test_step_down_counts_from_the_least_value() -> None:
    # To the left: -160 is the least, byte 0, bin 0; zero is the most, byte 255, bin 9.
    image = np.zeros((5, 8, 3), np.uint8)
    image[:, :4] = 10
    codes, zeros = texture_codes(image)
    expected = np.full((5, 8), 10 + 9)
    expected[:, 3:5] = 10
    np.testing.assert_array_equal(codes[2, 0], expected)
    np.testing.assert_array_equal(zeros[2, 0], [0, 9])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_one_black_pixel_or_strip(size: tuple[int, int]) -> None:
    codes, zeros = texture_codes(np.zeros((*size, 3), np.uint8))
    assert (codes == 10).all()
    assert (zeros == 0).all()
