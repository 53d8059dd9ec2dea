"""Random boxes for many images at once: boxes similar to given ones, or anywhere in an image."""

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import FloatArray, IntArray
from detection.training.sample_order import normal_numbers


def jitter_boxes(
    boxes: FloatArray, sizes: IntArray, *, spread: NDArray[np.float64], numbers: NDArray[np.float64]
) -> FloatArray:
    """Return K boxes similar to each of N boxes: each border moves by a normally distributed share of the box's side.

    The result is clipped to the image, and a box without area is widened to one pixel.

    Args:
        boxes: [N, 4].
        sizes: [N, 2], height and width of the image of each box.
        spread: [N], standard deviation of the moves, as a share of the box's side.
        numbers: [N, K, 4], uniform random numbers in 0-1.

    Returns:
        [N, K, 4].
    """
    corners = boxes.reshape(-1, 1, 2, 2)  # [N, 1, (low, high), (x, y)]
    sides = np.maximum(corners[:, :, 1:] - corners[:, :, :1], 1)
    moves = normal_numbers(numbers).reshape(*numbers.shape[:2], 2, 2) * spread[:, None, None, None]
    moved = corners + sides * moves
    return clip_corners(moved.min(axis=2), moved.max(axis=2), sizes)


def random_boxes(sizes: IntArray, *, numbers: NDArray[np.float64]) -> FloatArray:
    """Return K boxes anywhere in each image, with sides that are log-uniform between 1/8 and all of the image's side.

    Args:
        sizes: [N, 2], height and width of each image.
        numbers: [N, K, 4], uniform random numbers in 0-1.

    Returns:
        [N, K, 4].
    """
    extent = sizes[:, None, ::-1]
    sides = extent * np.exp2(-3 * numbers[..., :2])
    low = numbers[..., 2:] * (extent - sides)
    return clip_corners(low, low + sides, sizes)


def clip_corners(low: NDArray[np.floating], high: NDArray[np.floating], sizes: IntArray) -> FloatArray:
    """Return boxes [N, K, 4] from their corners [N, K, (x, y)], within the image and at least a pixel wide and high."""
    extent = sizes[:, None, ::-1]
    low = np.minimum(np.maximum(low, 0), extent - 1)
    high = np.minimum(np.maximum(high, low + 1), extent)
    return np.concatenate([low, high], axis=2, dtype=np.float32)
