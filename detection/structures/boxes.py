"""Arithmetic of boxes: area, IoU, clipping and non-maximum suppression.

A box is `x1, y1, x2, y2` in pixels of the image. The origin is the top left corner, and x2 and y2 are exclusive: the
width is `x2 - x1`.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detection.structures.arrays import AnyArray, ArrayError, FloatArray, IntArray, namespace

Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])
Numbers = TypeVar("Numbers", NDArray[np.float32], NDArray[np.float64], IntArray)

NMS_IOU_THRESHOLD = 0.3
"""R-CNN's value (arXiv 1311.2524, section 2.2); GoogLeNet's paper gives none."""

NEAR_IOU = 0.4
"""The least IoU of two boxes that may show the same object, in `neighbour_confidence` (our choice). With a lower value,
more boxes are scored without a gain; with a higher one, objects are lost."""

ROWS_AT_ONCE = 64
"""The number of boxes whose IoUs with all others are computed together. More would not fit into the processor's cache,
and `nms` would compute more IoUs of boxes that turn out to be dropped."""


def as_boxes(boxes: ArrayLike) -> FloatArray:
    """Return `boxes` as a float32 array [N, 4]; an empty sequence becomes [0, 4].

    Raises:
        ArrayError: if the shape is different, a value is not finite, or a box has `x2 < x1` or `y2 < y1`.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ArrayError(f"boxes must have shape [N, 4], got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ArrayError("boxes must be finite")
    turned = np.flatnonzero((array[:, 2:] < array[:, :2]).any(axis=1))
    if turned.size:
        raise ArrayError(f"boxes must have x1 <= x2 and y1 <= y2, got {array[turned[0]].tolist()} at {turned[0]}")
    return array


def as_labels(labels: ArrayLike) -> IntArray:
    """Return `labels` as an int64 array.

    Raises:
        ArrayError: if they are not integers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" and array.size:
        raise ArrayError(f"labels must be integers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def check_one_a_box(count: int, **columns: NDArray[Any]) -> None:
    """Raise an `ArrayError` that names the first column without exactly one value for each of `count` boxes."""
    for name, column in columns.items():
        if column.shape != (count,):
            raise ArrayError(f"{name} must have shape [{count}], one for each box, got {list(column.shape)}")


LARGEST_COORDINATE = 1e9
"""The largest number of pixels that readers of files accept. The products of larger ones may be no finite numbers."""


def box_area(boxes: FloatArray) -> FloatArray:
    """Return the areas in square pixels: [..., 4] -> [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Return the intersection over union (Jaccard overlap) of every pair: [N, 4], [M, 4] -> [N, M] in 0-1.

    Two boxes without area have an IoU of 0.
    """
    return paired_iou(boxes[:, None], others[None])


def intersection(boxes: Numbers, others: Numbers) -> Numbers:
    """Return the area that every pair of boxes shares, in square pixels: [N, 4], [M, 4] -> [N, M]."""
    return _intersection(_columns(boxes[:, None]), _columns(others[None]))


def paired_iou(boxes: Floats, others: Floats) -> Floats:
    """Return the IoU of boxes [..., 4] with others [..., 4], whose shapes are broadcast: [...] in 0-1."""
    columns, other_columns = _columns(boxes), _columns(others)
    x1, y1, x2, y2 = columns
    other_x1, other_y1, other_x2, other_y2 = other_columns
    shared = _intersection(columns, other_columns)
    union = (x2 - x1) * (y2 - y1) + (other_x2 - other_x1) * (other_y2 - other_y1) - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return iou


def _intersection(columns: Numbers, others: Numbers) -> Numbers:
    """Return the area of the intersection of boxes [4, ...] with others [4, ...], whose shapes are broadcast."""
    x1, y1, x2, y2 = columns
    other_x1, other_y1, other_x2, other_y2 = others
    width = np.maximum(np.minimum(x2, other_x2) - np.maximum(x1, other_x1), 0)
    height = np.maximum(np.minimum(y2, other_y2) - np.maximum(y1, other_y1), 0)
    area: Numbers = width * height
    return area


def _columns(boxes: Numbers) -> Numbers:
    """Return boxes [..., 4] as a contiguous array [4, ...], on which arithmetic takes a sixth of the time."""
    return np.ascontiguousarray(np.moveaxis(boxes, -1, 0))


def clip_boxes(boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Return boxes [..., 4] cut off at the borders of an image of `size` (height, width)."""
    height, width = size
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32, copy=False)


def snap_boxes(boxes: FloatArray, steps: int) -> FloatArray:
    """Return boxes [N, 4] whose coordinates, in any unit, are rounded to multiples of 1 / `steps` of that unit.

    PyTorch and ONNX Runtime compute boxes that differ by 1e-5 pixels. If the next network read its input at such boxes,
    single bytes of the input would differ, and its scores by up to 0.015. Rounded boxes are equal, unless a coordinate
    lies in the middle between two steps.
    """
    return (boxes * np.float32(steps)).round() / np.float32(steps)


def scale_boxes(boxes: AnyArray, factor: float) -> AnyArray:
    """Return boxes [..., 4] about the same centres, with sides `factor` times as long; for 1, the same array."""
    if factor == 1:
        return boxes
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    halves = (boxes[..., 2:] - boxes[..., :2]) / 2 * factor
    return namespace(boxes).concatenate([centres - halves, centres + halves], -1)


def nms(boxes: FloatArray, scores: FloatArray, iou_threshold: float = NMS_IOU_THRESHOLD) -> IntArray:
    """Greedy non-maximum suppression: keep the best box, drop those that overlap it too much, and so on.

    Args:
        boxes: [N, 4] xyxy.
        scores: [N]; equal scores rank in input order.
        iou_threshold: 0-1; a box is dropped if its IoU with a better kept box is above (not at) this.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    alive = np.ones(len(ranked), np.bool_)
    for start in range(0, len(ranked), ROWS_AT_ONCE):
        rows = start + np.flatnonzero(alive[start : start + ROWS_AT_ONCE])
        overlapping = box_iou(ranked[rows], ranked[start:]) > float(iou_threshold)  # compared in float32, as the IoUs
        for row, dropped in zip(rows, overlapping, strict=True):
            if alive[row]:
                dropped[row - start] = False  # the box itself; boxes before it have been decided already
                alive[start:][dropped] = False
    return order[alive].astype(np.int64)


def drop_parts(boxes: FloatArray, share: float) -> IntArray:
    """Return the indices of the boxes [N, 4], xyxy and best first, that do not lie in a better and larger kept box.

    A box lies in another if at least this `share` (0-1) of its area does; a box without area lies in none. Suppression
    by IoU keeps such a box if it is small: a face and the person whose face it is have a small IoU.
    """
    areas = box_area(boxes)
    kept: list[int] = []
    for index, box in enumerate(boxes):
        larger = [other for other in kept if areas[other] >= areas[index]]
        shared = intersection(boxes[larger], box[None])
        if not ((shared > 0) & (shared >= share * areas[index])).any():
            kept.append(index)
    return np.array(kept, np.int64)


def vote_boxes(boxes: FloatArray, candidates: FloatArray, weights: FloatArray, iou_threshold: float) -> FloatArray:
    """Return boxes moved to the weighted means of the candidates near them (box voting, arXiv 1505.01749).

    Unlike there, a candidate votes for one box only, the first that it is near to; otherwise boxes of neighbouring
    objects move towards each other.

    Args:
        boxes: [D, 4] xyxy, best first.
        candidates: [N, 4] xyxy; the boxes are usually among them.
        weights: [N], at least 0.
        iou_threshold: a candidate is near to a box if their IoU is at least this, 0-1.

    Returns:
        [D, 4]; a box without votes of positive weight stays where it is.
    """
    near = box_iou(boxes, candidates) >= iou_threshold
    votes = near & (near.cumsum(axis=0) == 1)  # [D, N], the first box that each candidate is near to
    counted = votes * weights
    total = counted.sum(axis=1, keepdims=True)
    voted: FloatArray = np.where(total > 0, counted @ candidates / np.where(total > 0, total, 1), boxes)
    return voted.astype(np.float32)


def neighbour_confidence(boxes: FloatArray, scored: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Return how likely each box is to show an object, estimated from scored boxes that overlap it.

    Args:
        boxes: [N, 4] xyxy.
        scored: [M, 4] xyxy.
        probabilities: [M], 0-1, that a scored box shows an object.

    Returns:
        [N], 0-1: the largest product of a probability and the IoU with its box, of the boxes with an IoU of at least
        `NEAR_IOU`; 0 if there are none.
    """
    products = np.zeros(len(boxes), np.float32)
    for start in range(0, len(boxes), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        overlaps = box_iou(boxes[rows], scored)
        products[rows] = np.where(overlaps >= NEAR_IOU, overlaps * probabilities, 0).max(axis=1, initial=0)
    return products
