"""Where objects tend to be: the priors of MultiBox, by k-means (arXiv 1312.2249, section on training details).

All boxes here are normalised: xyxy as shares of the image's width and height, 0-1.
"""

from __future__ import annotations

import numpy as np

from detection.structures.arrays import FloatArray, IntArray

ITERATIONS = 30
"""Our choice. Fewer if nothing moves any more."""

MIN_SIDE = 1e-3
"""Shorter sides count as this, so that a box without area is at a finite distance."""

AT_ONCE = 4096
"""Bounds the matrix of distances; of no influence on the result."""


def relative_distances(boxes: FloatArray, priors: FloatArray) -> FloatArray:
    """Squared distance of each pair's corners in units of the box's own sides: [M, 4], [K, 4] -> [M, K].

    Our choice where the paper has the plain distance in the image: with that, the small objects, which are off by
    little in the image and by much of their size, would get priors too far away to overlap with.
    """
    weights = _weights(boxes)
    squares = (weights * boxes**2).sum(axis=1, keepdims=True) + weights @ (priors**2).T
    distances: FloatArray = np.maximum(squares - 2 * (weights * boxes) @ priors.T, 0).astype(np.float32)
    return distances


def kmeans_priors(boxes: FloatArray, count: int, *, seed: int) -> FloatArray:
    """Lloyd's algorithm by `relative_distances` on boxes [N, 4]: K = `count` priors [K, 4], the largest first.

    Each step lowers the mean distance of a box to its nearest prior, or ends. A prior that is nearest to no box moves
    to the box that is farthest from all of them.

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
    areas = (priors[:, 2] - priors[:, 0]) * (priors[:, 3] - priors[:, 1])
    ordered: FloatArray = priors[np.argsort(-areas, kind="stable")].astype(np.float32)
    return ordered


def _means_of_nearest(boxes: FloatArray, priors: FloatArray) -> FloatArray:
    """The point of the least total distance for the boxes nearest to each prior."""
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
    """Index of the nearest prior of each box, and the distance to it: [N], [N]."""
    nearest, distances = np.empty(len(boxes), np.int64), np.empty(len(boxes), np.float32)
    for start in range(0, len(boxes), AT_ONCE):
        found = relative_distances(boxes[start : start + AT_ONCE], priors)
        nearest[start : start + AT_ONCE] = found.argmin(axis=1)
        distances[start : start + AT_ONCE] = found.min(axis=1)
    return nearest, distances


def _weights(boxes: FloatArray) -> FloatArray:
    """One over the squared side that belongs to each corner coordinate: [N, 4]."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], MIN_SIDE)
    weights: FloatArray = np.tile(1 / sides**2, 2)
    return weights
