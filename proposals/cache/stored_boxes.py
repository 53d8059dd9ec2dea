"""The stored form of a box: corners on a grid of 65,535 steps in eight bytes, score in two, source in one."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.contracts import NO_SOURCE, Proposals

LAST_STEP = 65_535
"""The largest coordinate that two bytes hold."""

LARGEST_SCORE = 65_504.0
"""The largest number in half precision."""

STORED_BOX = np.dtype([("corners", "<u2", 4), ("score", "<f2"), ("source", "u1")])
"""Eleven bytes: xyxy in steps of the grid, the score in half precision, and the source or `NO_SOURCE`."""


def grid_step(size: tuple[int, int]) -> float:
    """Return the step of the grid in pixels, a power of two, for an image of `size` (height, width).

    It is the smallest power of two whose 65,535 multiples span the longer side. So corners on whole pixels, such as
    those at the image's borders, are stored exactly up to 65,535 pixels. Others move by half a step at most: by less
    than a 65,535th of the longer side, 1/256 pixel at 500 pixels and 1/32 at 4,000.
    """
    return 2.0 ** math.ceil(math.log2(max(size) / LAST_STEP))


def store_boxes(proposals: Proposals, size: tuple[int, int]) -> NDArray[Any]:
    """Return proposals of an image of `size` (height, width) as an array [N] of `STORED_BOX`, in their order.

    Scores are rounded to 11 bits and clipped to +-65,504, which keeps their order.

    Raises:
        ValueError: if a box reaches out of the image by more than half a step, or a score is nan.
    """
    height, width = size
    corners = proposals.boxes.astype(np.float64) / grid_step(size)  # [N, 4], in steps
    limits = np.array([width, height, width, height]) / grid_step(size)
    outside = np.flatnonzero(((corners < -0.5) | (corners > limits + 0.5)).any(axis=1))
    if outside.size:
        box = proposals.boxes[outside[0]].tolist()
        raise ValueError(f"boxes must lie within the image of {width}x{height} px, got {box} at {outside[0]}")
    if np.isnan(proposals.scores).any():
        raise ValueError("scores must be numbers, got nan")
    stored = np.empty(len(proposals), STORED_BOX)
    # The image's border may lie between two steps, of which only the first is in the image.
    stored["corners"] = np.clip(np.rint(corners), 0, np.floor(limits))
    stored["score"] = np.clip(proposals.scores, -LARGEST_SCORE, LARGEST_SCORE)
    stored["source"] = NO_SOURCE if proposals.sources is None else proposals.sources
    return stored


def restore_boxes(stored: NDArray[Any], size: tuple[int, int]) -> Proposals:
    """Return the proposals that `store_boxes` was given, except for rounding; without boxes, the sources are None."""
    boxes = stored["corners"].astype(np.float32) * np.float32(grid_step(size))  # exact: 16 bits times a power of two
    sources = stored["source"].copy() if (stored["source"] != NO_SOURCE).any() else None
    return Proposals(boxes, stored["score"].astype(np.float32), sources)
