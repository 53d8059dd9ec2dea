"""Superpixels by graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in compiled loops.

Pixels are nodes; an edge ties a pixel to the one below it or right of it and weighs the distance of their colours. Its
number is twice that of its first pixel in row-major order, plus one if it leads to the right.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.arrays import FloatArray, Image
from proposals.compilation import compiled

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


def segment(edges: NDArray[np.uint64], size: tuple[int, int], *, k: float, min_size: int) -> NDArray[np.int32]:
    """Superpixels: labels int32 [H, W], numbered from 0 in the order in which a row-major scan meets them.

    Args:
        edges: from `sorted_edges`.
        size: (height, width) of the image.
        k: the larger, the larger the superpixels.
        min_size: in pixels; a smaller superpixel is joined to the neighbour that is most alike.
    """
    return _segment(edges, size, np.float32(k), min_size).reshape(size)


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
def _segment(edges: NDArray[np.uint64], size: tuple[int, int], k: np.float32, min_size: int) -> NDArray[np.int32]:
    """A pixel is a row of `nodes`: its parent or, of a root, minus the size of its set; and the limit of a root.

    That is the weight up to which its set accepts an edge, a float32 of at least 0, whose bits compare as it does. Side
    by side, both come with one access to memory, which is what most of the time goes into.
    """
    height, width = size
    nodes = np.empty((height * width, 2), np.int32)
    nodes[:, PARENT] = -1
    nodes[:, LIMIT] = _bits(k)
    refused = np.empty_like(edges)
    refusals = 0
    for edge in edges:
        first, second = _find_ends(nodes, edge, width)
        if first != second:
            weight = np.int32(edge >> np.uint64(32))
            if weight <= nodes[first, LIMIT] and weight <= nodes[second, LIMIT]:
                root = _join(nodes, first, second)
                nodes[root, LIMIT] = _bits(weight.view(np.float32) + k / np.float32(-nodes[root, PARENT]))
            else:
                refused[refusals] = edge
                refusals += 1
    for edge in refused[:refusals]:
        first, second = _find_ends(nodes, edge, width)
        if first != second and (-nodes[first, PARENT] < min_size or -nodes[second, PARENT] < min_size):
            _join(nodes, first, second)
    return _number_sets(nodes)


@compiled
def _bits(number: np.float32) -> np.int32:
    return np.float32(number).view(np.int32)


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
