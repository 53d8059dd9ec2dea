"""Superpixels by graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in compiled loops.

Pixels are the nodes of a graph. An edge joins a pixel to the one below it or to its right, and its weight is the
distance of their colours. An edge is one uint64: the upper half holds the bits of its weight, a float32 of at least 0,
and the lower half its number, twice that of its first pixel in row-major order, plus one if the edge leads to the
right.

`search.py` calls `sorted_edges`, `join_lightest` and `segment` in this order. The functions below them are loops that
Numba compiles to machine code. They get all arrays from their callers, because code that creates arrays takes long to
compile.
"""

import sys
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled, compiled_part
from detection.structures.arrays import FloatArray, Image

NUMBER = np.uint64(0xFFFFFFFF)
"""The bits of an edge that hold its number."""

PARENT, LIMIT = 0, 1
"""The columns of an array of nodes, see `PartialSegmentation`."""


def sorted_edges(image: Image, sigma: float) -> NDArray[np.uint64]:
    """Return the edges [E] of an image [H, W, 3] after Gaussian smoothing, lightest first, equal ones by their number.

    The result serves all scales.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, sigmaY=sigma)
    height, width = image.shape[:2]
    edges = np.empty(2 * height * width - height - width, np.uint64)
    weights = np.zeros((width, 2), np.float32)
    _weigh_edges(np.asarray(smooth, np.float32), weights, weights.view(np.uint32), edges)
    edges.sort()
    return edges


class PartialSegmentation(NamedTuple):
    """The state of a segmentation after the lightest edges, which is the same at all scales from some scale on.

    `nodes` int32 [H * W, 2] has a row for each pixel. Its first column is the parent of the pixel or, for a root, minus
    the size of its set. Its second column counts only for a root, and holds the bits of a float32: the largest weight
    of an edge in the set, or while `segment` runs, the largest weight of an edge that the set accepts. Side by side,
    both columns come with one access to memory, which takes most of the time.
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
    height, width = size
    nodes = np.empty((height * width, 2), np.int32)
    nodes[:, PARENT], nodes[:, LIMIT] = -1, 0
    count = _join_lightest(edges, _weights(edges), nodes, _limits(nodes), width, np.float32(k))
    return PartialSegmentation(nodes, edges[count:])


def segment(partial: PartialSegmentation, size: tuple[int, int], *, k: float, min_size: int) -> NDArray[np.int32]:
    """Return the label of each pixel, int32 [H, W]; labels count from 0 in the order of a row-major scan.

    Args:
        partial: from `join_lightest`, at the same scale or a smaller one.
        size: (height, width) of the image.
        k: the scale; larger values give larger superpixels.
        min_size: in pixels; a smaller superpixel is joined to the most similar superpixel beside it.
    """
    nodes, edges = partial.nodes.copy(), partial.edges
    rejected = np.empty_like(edges)
    _segment(edges, _weights(edges), nodes, _limits(nodes), size[1], np.float32(k), min_size, rejected)
    labels, numbers = np.empty(len(nodes), np.int32), np.full(len(nodes), -1, np.int32)
    _number_sets(nodes, numbers, labels)
    return labels.reshape(size)


def _weights(edges: NDArray[np.uint64]) -> FloatArray:
    """Return the weights of edges [E] without a copy."""
    return edges.view(np.float32)[int(sys.byteorder == "little") :: 2]


def _limits(nodes: NDArray[np.int32]) -> FloatArray:
    """Return the second column of nodes [H * W, 2] without a copy."""
    return nodes.view(np.float32)[:, LIMIT]


@compiled
def _weigh_edges(smooth: FloatArray, weights: FloatArray, bits: NDArray[np.uint32], edges: NDArray[np.uint64]) -> None:
    """Write the edges of an image [H, W, 3] in the order of their numbers.

    `weights` [W, 2] are overwritten by those of a row, and `bits` is the same memory.
    """
    height, width, _ = smooth.shape
    count = 0
    for y in range(height):
        if y + 1 < height:
            for x in range(width):
                weights[x, 0] = _distance(smooth, y, x, y + 1, x)
        for x in range(width - 1):
            weights[x, 1] = _distance(smooth, y, x, y, x + 1)
        for x in range(width):
            number = np.uint64(2 * (y * width + x))
            if y + 1 < height:
                edges[count] = np.uint64(bits[x, 0]) << np.uint64(32) | number
                count += 1
            if x + 1 < width:
                edges[count] = np.uint64(bits[x, 1]) << np.uint64(32) | number | np.uint64(1)
                count += 1


@compiled_part
def _distance(smooth: FloatArray, y: int, x: int, other_y: int, other_x: int) -> np.float32:
    """Return the distance of the colours of two pixels. OpenCV squares in double precision, and rounds each sum."""
    total = np.float32(0)
    for channel in range(3):
        difference = np.float64(smooth[y, x, channel] - smooth[other_y, other_x, channel])
        total = np.float32(total + difference * difference)
    return np.float32(np.sqrt(total))


@compiled
def _join_lightest(  # noqa: PLR0917  compiled functions take no keywords
    edges: NDArray[np.uint64],
    weights: FloatArray,
    nodes: NDArray[np.int32],
    limits: FloatArray,
    width: int,
    k: np.float32,
) -> int:
    """Join the sets of the nodes up to the first rejected edge, and return the number of edges before it.

    `limits` is the second column of the nodes, and has the largest weight of an edge in each set.
    """
    for number in range(len(edges)):
        first, second = _find_ends(nodes, edges[number], width)
        if first != second:
            weight = weights[number]
            if weight > _limit(nodes, limits, first, k) or weight > _limit(nodes, limits, second, k):
                return number
            limits[_join(nodes, first, second)] = weight
    return len(edges)


@compiled
def _segment(  # noqa: PLR0917  compiled functions take no keywords
    edges: NDArray[np.uint64],
    weights: FloatArray,
    nodes: NDArray[np.int32],
    limits: FloatArray,
    width: int,
    k: np.float32,
    min_size: int,
    rejected: NDArray[np.uint64],
) -> None:
    """Join the sets of the nodes, whose second column is `limits`, by all edges; `rejected` [E] is overwritten."""
    for node in range(len(nodes)):
        if nodes[node, PARENT] < 0:
            limits[node] = _limit(nodes, limits, np.int64(node), k)
    count = 0
    for number in range(len(edges)):
        edge, weight = edges[number], weights[number]
        first, second = _find_ends(nodes, edge, width)
        if first != second:
            if weight <= limits[first] and weight <= limits[second]:
                root = _join(nodes, first, second)
                limits[root] = weight
                limits[root] = _limit(nodes, limits, root, k)
            else:
                rejected[count] = edge
                count += 1
    for number in range(count):
        first, second = _find_ends(nodes, rejected[number], width)
        if first != second and (-nodes[first, PARENT] < min_size or -nodes[second, PARENT] < min_size):
            _join(nodes, first, second)


@compiled_part
def _limit(nodes: NDArray[np.int32], limits: FloatArray, root: np.int64, k: np.float32) -> np.float32:
    """Return the largest weight that the set of a root accepts, where `limits` has the largest weight in the set."""
    return np.float32(limits[root] + k / np.float32(-nodes[root, PARENT]))


@compiled_part
def _find_ends(nodes: NDArray[np.int32], edge: np.uint64, width: int) -> tuple[np.int64, np.int64]:
    """Return the roots of both ends of an edge."""
    number = np.int64(edge & NUMBER)
    pixel = number >> 1
    return _find(nodes, pixel), _find(nodes, pixel + (1 if number & 1 else width))


@compiled_part
def _find(nodes: NDArray[np.int32], node: np.int64) -> np.int64:
    """Return the root of a node, and halve the path to it."""
    parent = np.int64(nodes[node, PARENT])
    while parent >= 0:
        above = np.int64(nodes[parent, PARENT])
        if above < 0:
            return parent
        nodes[node, PARENT] = above
        node = above
        parent = np.int64(nodes[node, PARENT])
    return node


@compiled_part
def _join(nodes: NDArray[np.int32], first: np.int64, second: np.int64) -> np.int64:
    """Join the sets of two roots, the smaller below the larger, and return the root of both."""
    if nodes[first, PARENT] > nodes[second, PARENT]:
        first, second = second, first
    nodes[first, PARENT] += nodes[second, PARENT]
    nodes[second, PARENT] = first
    return first


@compiled
def _number_sets(nodes: NDArray[np.int32], numbers: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
    """Write the labels [H * W] of the sets, in the order in which a scan meets them.

    `numbers` [H * W] has to be -1, and is overwritten by those of the sets, at their roots.
    """
    count = 0
    for node in range(len(nodes)):
        root = _find(nodes, np.int64(node))
        if numbers[root] < 0:
            numbers[root] = count
            count += 1
        labels[node] = numbers[root]
