"""Superpixels by graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in compiled loops.

Pixels are nodes; an edge ties a pixel to the one below it or right of it and weighs the distance of their colours. Its
number is twice that of its first pixel in row-major order, plus one if it leads to the right.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image

NUMBER = np.uint64(0xFFFFFFFF)
"""Of an edge: the lower half of its entry."""

PARENT, LIMIT = 0, 1
"""Columns of the nodes."""


def sorted_edges(image: Image, sigma: float) -> NDArray[np.uint64]:
    """Edges of an image [H, W, 3] that is smoothed with `sigma` first, the lightest first: uint64 [E].

    The upper half of an entry holds the bits of the weight, a float32 of at least 0, and the lower half the number of
    the edge, which decides among equals. The entries serve every scale.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, sigmaY=sigma)
    edges = _weigh_edges(np.asarray(smooth, np.float32))
    edges.sort()
    return edges


class Beginning(NamedTuple):
    """The segmentation after the lightest edges, which is the same for all scales from some on.

    `nodes` int32 [H * W, 2] are as in `_segment`, but a root has its largest weight in place of its limit; `edges` are
    those that are still to come.
    """

    nodes: NDArray[np.int32]
    edges: NDArray[np.uint64]


def begin(edges: NDArray[np.uint64], size: tuple[int, int], *, k: float) -> Beginning:
    """Join superpixels up to the first edge that is refused at scale `k`. No larger scale refuses an earlier one.

    Args:
        edges: from `sorted_edges`.
        size: (height, width) of the image.
        k: the smallest of the scales that are wanted.
    """
    nodes, count = _begin(edges, size, np.float32(k))
    return Beginning(nodes, edges[count:])


def segment(beginning: Beginning, size: tuple[int, int], *, k: float, min_size: int) -> NDArray[np.int32]:
    """Superpixels: labels int32 [H, W], numbered from 0 in the order in which a row-major scan meets them.

    Args:
        beginning: from `begin`, of the same scale or a smaller one.
        size: (height, width) of the image.
        k: the larger, the larger the superpixels.
        min_size: in pixels; a smaller superpixel is joined to the neighbour that is most alike.
    """
    return _segment(*beginning, size[1], np.float32(k), min_size).reshape(size)


@compiled
def _weigh_edges(smooth: FloatArray) -> NDArray[np.uint64]:
    """Entries of the edges in the order of their numbers."""
    height, width, _ = smooth.shape
    entries = np.empty(2 * height * width - height - width, np.uint64)
    weights = np.zeros((width, 2), np.float32)  # of a row
    count = 0
    for y in range(height):
        if y + 1 < height:
            for x in range(width):
                weights[x, 0] = _distance(smooth[y, x], smooth[y + 1, x])
        for x in range(width - 1):
            weights[x, 1] = _distance(smooth[y, x], smooth[y, x + 1])
        for x in range(width):
            number = 2 * (y * width + x)
            if y + 1 < height:
                entries[count] = _entry(weights[x, 0], number)
                count += 1
            if x + 1 < width:
                entries[count] = _entry(weights[x, 1], number + 1)
                count += 1
    return entries


@compiled
def _entry(weight: np.float32, number: int) -> np.uint64:
    return np.uint64(np.float32(weight).view(np.uint32)) << np.uint64(32) | np.uint64(number)


@compiled
def _distance(first: FloatArray, second: FloatArray) -> np.float32:
    """Of two colours [3]. OpenCV squares in double precision, and rounds each sum."""
    total = np.float32(0)
    for channel in range(3):
        difference = np.float64(first[channel] - second[channel])
        total = np.float32(total + difference * difference)
    return np.float32(np.sqrt(total))


@compiled
def _begin(edges: NDArray[np.uint64], size: tuple[int, int], k: np.float32) -> tuple[NDArray[np.int32], int]:
    """The nodes when the first edge is refused, and how many were accepted or lay within a set."""
    height, width = size
    nodes = np.empty((height * width, 2), np.int32)
    nodes[:, PARENT] = -1
    nodes[:, LIMIT] = 0
    count = 0
    for edge in edges:
        first, second = _find_ends(nodes, edge, width)
        if first != second:
            weight = np.int32(edge >> np.uint64(32))
            if weight > _limit(nodes, first, k) or weight > _limit(nodes, second, k):
                break
            nodes[_join(nodes, first, second), LIMIT] = weight
        count += 1
    return nodes, count


@compiled
def _segment(
    beginning: NDArray[np.int32], edges: NDArray[np.uint64], width: int, k: np.float32, min_size: int
) -> NDArray[np.int32]:
    """A pixel is a row of `nodes`: its parent or, of a root, minus the size of its set; and the limit of a root.

    That is the weight up to which its set accepts an edge, a float32 of at least 0, whose bits compare as it does. Side
    by side, both come with one access to memory, which is what most of the time goes into.
    """
    nodes = beginning.copy()
    for node in range(len(nodes)):
        if nodes[node, PARENT] < 0:
            nodes[node, LIMIT] = _limit(beginning, np.int64(node), k)
    refused = np.empty_like(edges)
    refusals = 0
    for edge in edges:
        first, second = _find_ends(nodes, edge, width)
        if first != second:
            weight = np.int32(edge >> np.uint64(32))
            if weight <= nodes[first, LIMIT] and weight <= nodes[second, LIMIT]:
                root = _join(nodes, first, second)
                nodes[root, LIMIT] = weight
                nodes[root, LIMIT] = _limit(nodes, root, k)
            else:
                refused[refusals] = edge
                refusals += 1
    for edge in refused[:refusals]:
        first, second = _find_ends(nodes, edge, width)
        if first != second and (-nodes[first, PARENT] < min_size or -nodes[second, PARENT] < min_size):
            _join(nodes, first, second)
    return _number_sets(nodes)


@compiled
def _limit(nodes: NDArray[np.int32], root: np.int64, k: np.float32) -> np.int32:
    """The bits of the limit of a root that has the bits of its largest weight in its place."""
    weight = np.int32(nodes[root, LIMIT]).view(np.float32)
    return np.float32(weight + k / np.float32(-nodes[root, PARENT])).view(np.int32)


@compiled
def _find_ends(nodes: NDArray[np.int32], entry: np.uint64, width: int) -> tuple[np.int64, np.int64]:
    """The roots of both ends of an edge."""
    number = np.int64(entry & NUMBER)
    pixel = number >> 1
    return _find(nodes, pixel), _find(nodes, pixel + (1 if number & 1 else width))


@compiled
def _find(nodes: NDArray[np.int32], node: np.int64) -> np.int64:
    """The root of a node, with the path to it halved."""
    parent = nodes[node, PARENT]
    while parent >= 0:
        above = nodes[parent, PARENT]
        if above < 0:
            return np.int64(parent)
        nodes[node, PARENT] = above
        node = np.int64(above)
        parent = nodes[node, PARENT]
    return node


@compiled
def _join(nodes: NDArray[np.int32], first: np.int64, second: np.int64) -> np.int64:
    """Join the sets of two roots, the smaller below the larger; returns the root of both."""
    if nodes[first, PARENT] > nodes[second, PARENT]:
        first, second = second, first
    nodes[first, PARENT] += nodes[second, PARENT]
    nodes[second, PARENT] = first
    return first


@compiled
def _number_sets(nodes: NDArray[np.int32]) -> NDArray[np.int32]:
    numbers = np.full(len(nodes), -1, np.int32)  # of the sets, at their roots
    labels = np.empty(len(nodes), np.int32)
    count = 0
    for node in range(len(nodes)):
        root = _find(nodes, np.int64(node))
        if numbers[root] < 0:
            numbers[root] = count
            count += 1
        labels[node] = numbers[root]
    return labels
