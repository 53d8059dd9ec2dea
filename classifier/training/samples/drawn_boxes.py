"""Boxes drawn at random, of many images at once: like others, or anywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import FloatArray, IntArray
from detection.training.sample_order import normal_numbers


def jitter_boxes(
    boxes: FloatArray, sizes: IntArray, *, spread: NDArray[np.float64], numbers: NDArray[np.float64]
) -> FloatArray:
    """K boxes like each of N, each border moved by N(0, spread) of the box's side, cut at the image's borders.

    Degenerate results are widened to one pixel.

    Args:
        boxes: [N, 4].
        sizes: [N, 2], height and width of the image.
        spread: [N].
        numbers: [N, K, 4] uniform in 0-1.

    Returns:
        [N, K, 4].
    """
    corners = boxes.reshape(-1, 1, 2, 2)  # [N, 1, (low, high), (x, y)]
    sides = np.maximum(corners[:, :, 1:] - corners[:, :, :1], 1)
    moves = normal_numbers(numbers).reshape(*numbers.shape[:2], 2, 2) * spread[:, None, None, None]
    moved = corners + sides * moves
    return within(moved.min(axis=2), moved.max(axis=2), sizes)


def random_boxes(sizes: IntArray, *, numbers: NDArray[np.float64]) -> FloatArray:
    """Boxes [N, K, 4] anywhere in images: each side log-uniform between an eighth and all of the image's.

    Args:
        sizes: [N, 2], height and width of the image.
        numbers: [N, K, 4] uniform in 0-1.
    """
    extent = sizes[:, None, ::-1]
    sides = extent * np.exp2(-3 * numbers[..., :2])
    low = numbers[..., 2:] * (extent - sides)
    return within(low, low + sides, sizes)


def within(low: NDArray[np.floating], high: NDArray[np.floating], sizes: IntArray) -> FloatArray:
    """Boxes [N, K, 4] from their corners [N, K, (x, y)], cut at the borders and at least a pixel wide and high."""
    extent = sizes[:, None, ::-1]
    low = np.minimum(np.maximum(low, 0), extent - 1)
    high = np.minimum(np.maximum(high, low + 1), extent)
    return np.concatenate([low, high], axis=2, dtype=np.float32)
