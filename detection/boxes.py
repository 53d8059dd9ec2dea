"""Box arithmetic. A box is `x1, y1, x2, y2` in absolute pixels, origin top left, half-open: width is `x2 - x1`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from detection.arrays import FloatArray


def as_boxes(boxes: ArrayLike) -> FloatArray:
    """`boxes` as a float32 array [N, 4]; an empty sequence becomes [0, 4].

    Raises:
        ValueError: if the shape is another, a value is not finite, or a box has `x2 < x1` or `y2 < y1`.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have shape [N, 4], got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError("boxes must be finite")
    turned = np.flatnonzero((array[:, 2:] < array[:, :2]).any(axis=1))
    if turned.size:
        raise ValueError(f"boxes must have x1 <= x2 and y1 <= y2, got {array[turned[0]].tolist()} at {turned[0]}")
    return array


def box_area(boxes: FloatArray) -> FloatArray:
    """Areas in square pixels: [N, 4] -> [N]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union (Jaccard overlap) of every pair: [N, 4], [M, 4] -> [N, M] in 0-1.

    Two boxes without area have an IoU of 0.
    """
    left_top = np.maximum(boxes[:, None, :2], others[None, :, :2])  # [N, M, 2]
    right_bottom = np.minimum(boxes[:, None, 2:], others[None, :, 2:])  # [N, M, 2]
    sides = np.maximum(right_bottom - left_top, 0)
    intersection = sides[..., 0] * sides[..., 1]  # [N, M]
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - intersection
    iou: FloatArray = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return iou


def clip_boxes(boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Boxes [..., 4] cut at the borders of an image of `size` (height, width)."""
    height, width = size
    limits = np.array([width, height, width, height], np.float32)
    clipped: FloatArray = np.clip(boxes, 0, limits).astype(np.float32, copy=False)
    return clipped
