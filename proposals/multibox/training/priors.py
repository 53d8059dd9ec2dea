"""The priors of MultiBox: boxes where objects tend to be (arXiv 1312.2249), and which prior predicts which object.

`kmeans_priors` makes them from the boxes of mosaics, and `match_priors` assigns one to each object of an image. All
boxes here are normalised: xyxy as shares of the image's width and height, 0-1.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import box_area

ITERATIONS = 30
"""The maximum number of steps of k-means (our choice)."""

MIN_SIDE = 1e-3
"""Shorter sides count as this, so that the distance of a box without area is finite."""

ROWS_AT_ONCE = 4096
"""The number of boxes whose distances are computed together; this bounds the memory and does not affect the result."""


def relative_distances(boxes: FloatArray, priors: FloatArray) -> FloatArray:
    """Return the squared distance of the corners of each pair, in units of the box's sides: [M, 4], [K, 4] -> [M, K].

    The paper has the plain distance in the image. Then a small object may get a prior that is near in the image, but
    does not overlap with the object at all.
    """
    weights = _weights(boxes)
    squares = (weights * boxes**2).sum(axis=1, keepdims=True) + weights @ (priors**2).T
    distances: FloatArray = np.maximum(squares - 2 * (weights * boxes) @ priors.T, 0).astype(np.float32)
    return distances


def kmeans_priors(boxes: FloatArray, count: int, *, seed: int) -> FloatArray:
    """Return K = `count` priors [K, 4] for boxes [N, 4], largest first, by Lloyd's algorithm on `relative_distances`.

    Each step lowers the mean distance of a box to its nearest prior, or is the last. A prior that is nearest to no box
    moves to the box that is farthest from all priors.

    Raises:
        ValueError: if there are fewer different boxes than priors.
    """
    boxes = np.asarray(boxes, np.float64)
    different = np.unique(boxes, axis=0)
    if len(different) < count:
        raise ValueError(f"expected at least {count} different boxes for {count} priors, got {len(different)}")
    priors = np.random.default_rng(seed).choice(different, count, replace=False)
    for _ in range(ITERATIONS):
        moved = _means_of_nearest(boxes, priors)
        if np.array_equal(moved, priors):
            break
        priors = moved
    return priors[np.argsort(-box_area(priors), kind="stable")].astype(np.float32)


class Matches(NamedTuple):
    """Pairs of a prior and a box: indices [P] each."""

    priors: IntArray
    boxes: IntArray


def match_priors(priors: FloatArray, boxes: FloatArray) -> Matches:
    """Match priors [K, 4] with boxes [M, 4], one to one, at the least total distance (arXiv 1312.2249, section 3).

    Every box gets a prior of its own, or every prior a box if there are more boxes. The paper first matches the
    predictions and then, to keep them diverse, the priors. Ours are the priors, so that the matches do not depend on
    the network. Distances are those that the priors were made by.
    """
    box_indices, prior_indices = linear_sum_assignment(relative_distances(boxes, priors))
    return Matches(prior_indices.astype(np.int64), box_indices.astype(np.int64))


def _means_of_nearest(boxes: FloatArray, priors: FloatArray) -> FloatArray:
    """Move each prior to the point with the least total distance to the boxes that are nearest to it."""
    nearest, distances = _nearest(boxes, priors)
    weights = _weights(boxes)
    sums, totals = (np.zeros_like(priors) for _ in range(2))
    np.add.at(sums, nearest, weights * boxes)
    np.add.at(totals, nearest, weights)
    moved = np.divide(sums, totals, out=priors.copy(), where=totals > 0)
    empty = np.flatnonzero(totals[:, 0] == 0)
    moved[empty] = boxes[np.argsort(-distances, kind="stable")[: len(empty)]]
    return moved


def _nearest(boxes: FloatArray, priors: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the index of the nearest prior of each box [N], and the distance to it [N]."""
    nearest, distances = np.empty(len(boxes), np.int64), np.empty(len(boxes), np.float32)
    for start in range(0, len(boxes), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        row_distances = relative_distances(boxes[rows], priors)
        nearest[rows], distances[rows] = row_distances.argmin(axis=1), row_distances.min(axis=1)
    return nearest, distances


def _weights(boxes: FloatArray) -> FloatArray:
    """Return for each corner coordinate 1 over the square of the side that it belongs to: [N, 4]."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], MIN_SIDE)
    return np.tile(1 / sides**2, 2)
