"""Superpixels by graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in compiled loops.

Pixels are the nodes of a graph. An edge joins a pixel to the one below it or to its right, and its weight is the
distance of their colours. An edge is one uint64: the upper half holds the bits of its weight, a float32 of at least 0,
and the lower half its number, twice that of its first pixel in row-major order, plus one if the edge leads to the
right.

`search.py` calls `sorted_edges`, `join_lightest` and `segment` in this order. The functions below them are loops that
Numba compiles to machine code.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image

NUMBER = np.uint64(0xFFFFFFFF)
"""The bits of an edge that hold its number."""

PARENT, LIMIT = 0, 1
"""The columns of an array of nodes, see `_segment`."""


def sorted_edges(image: Image, sigma: float) -> NDArray[np.uint64]:
    """Return the edges [E] of an image [H, W, 3] after Gaussian smoothing, lightest first, equal ones by their number.

    The result serves all scales.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, sigmaY=sigma)
    edges = _weigh_edges(np.asarray(smooth, np.float32))
    edges.sort()
    return edges


class PartialSegmentation(NamedTuple):
    """The state of a segmentation after the lightest edges, which is the same at all scales from some scale on.

    `nodes` int32 [H * W, 2] are as in `_segment`, except that a root has its largest weight in place of its limit.
    `edges` are those that have not been looked at yet.
    """

    nodes: NDArray[np.int32]
    edges: NDArray[np.uint64]


def join_lightest(edges: NDArray[np.uint64], size: tuple[int, int], *, k: float) -> PartialSegmentation:
    """Join superpixels up to the first edge that is rejected at scale `k`; larger scales reject no earlier edge.

    Args:
        edges: from `sorted_edges`.
        size: (height, width) of the image.
        k: the smallest of the scales at which the image will be segmented.
    """
    nodes, count = _join_lightest(edges, size, np.float32(k))
    return PartialSegmentation(nodes, edges[count:])


def segment(partial: PartialSegmentation, size: tuple[int, int], *, k: float, min_size: int) -> NDArray[np.int32]:
    """Return the label of each pixel, int32 [H, W]; labels count from 0 in the order of a row-major scan.

    Args:
        partial: from `join_lightest`, at the same scale or a smaller one.
        size: (height, width) of the image.
        k: the scale; larger values give larger superpixels.
        min_size: in pixels; a smaller superpixel is joined to the most similar superpixel beside it.
    """
    return _segment(*partial, size[1], np.float32(k), min_size).reshape(size)


@compiled
def _weigh_edges(smooth: FloatArray) -> NDArray[np.uint64]:
    """Return the edges of an image [H, W, 3] in the order of their numbers."""
    height, width, _ = smooth.shape
    edges = np.empty(2 * height * width - height - width, np.uint64)
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
                edges[count] = _as_edge(weights[x, 0], number)
                count += 1
            if x + 1 < width:
                edges[count] = _as_edge(weights[x, 1], number + 1)
                count += 1
    return edges


@compiled
def _as_edge(weight: np.float32, number: int) -> np.uint64:
    return np.uint64(np.float32(weight).view(np.uint32)) << np.uint64(32) | np.uint64(number)


@compiled
def _distance(first: FloatArray, second: FloatArray) -> np.float32:
    """Return the distance of two colours [3]. OpenCV squares in double precision, and rounds each sum."""
    total = np.float32(0)
    for channel in range(3):
        difference = np.float64(first[channel] - second[channel])
        total = np.float32(total + difference * difference)
    return np.float32(np.sqrt(total))


@compiled
def _join_lightest(edges: NDArray[np.uint64], size: tuple[int, int], k: np.float32) -> tuple[NDArray[np.int32], int]:
    """Return the nodes at the first rejected edge, and the number of edges before it."""
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
    partial: NDArray[np.int32], edges: NDArray[np.uint64], width: int, k: np.float32, min_size: int
) -> NDArray[np.int32]:
    """Return the labels [H * W].

    Each pixel is a row of `nodes`. Its first column is the parent of the pixel or, for a root, minus the size of its
    set. Its second column counts only for a root: the largest weight of an edge that the set accepts, a float32 of at
    least 0 whose bits are compared as an integer. Side by side, both columns come with one access to memory, which
    takes most of the time.
    """
    nodes = partial.copy()
    for node in range(len(nodes)):
        if nodes[node, PARENT] < 0:
            nodes[node, LIMIT] = _limit(partial, np.int64(node), k)
    rejected = np.empty_like(edges)
    count = 0
    for edge in edges:
        first, second = _find_ends(nodes, edge, width)
        if first != second:
            weight = np.int32(edge >> np.uint64(32))
            if weight <= nodes[first, LIMIT] and weight <= nodes[second, LIMIT]:
                root = _join(nodes, first, second)
                nodes[root, LIMIT] = weight
                nodes[root, LIMIT] = _limit(nodes, root, k)
            else:
                rejected[count] = edge
                count += 1
    for edge in rejected[:count]:
        first, second = _find_ends(nodes, edge, width)
        if first != second and (-nodes[first, PARENT] < min_size or -nodes[second, PARENT] < min_size):
            _join(nodes, first, second)
    return _number_sets(nodes)


@compiled
def _limit(nodes: NDArray[np.int32], root: np.int64, k: np.float32) -> np.int32:
    """Return the bits of the limit of a root whose second column holds the bits of its largest weight."""
    weight = np.int32(nodes[root, LIMIT]).view(np.float32)
    return np.float32(weight + k / np.float32(-nodes[root, PARENT])).view(np.int32)


@compiled
def _find_ends(nodes: NDArray[np.int32], edge: np.uint64, width: int) -> tuple[np.int64, np.int64]:
    """Return the roots of both ends of an edge."""
    number = np.int64(edge & NUMBER)
    pixel = number >> 1
    return _find(nodes, pixel), _find(nodes, pixel + (1 if number & 1 else width))


@compiled
def _find(nodes: NDArray[np.int32], node: np.int64) -> np.int64:
    """Return the root of a node, and halve the path to it."""
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
    """Join the sets of two roots, the smaller below the larger, and return the root of both."""
    if nodes[first, PARENT] > nodes[second, PARENT]:
        first, second = second, first
    nodes[first, PARENT] += nodes[second, PARENT]
    nodes[second, PARENT] = first
    return first


@compiled
def _number_sets(nodes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels [H * W] of the sets, in the order in which a scan meets them."""
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
