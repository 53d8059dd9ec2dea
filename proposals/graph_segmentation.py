"""Superpixels by graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), in compiled loops.

Pixels are nodes, each tied to the pixels right of it and below it by an edge that weighs the distance of their colours.
An edge is named by its number: twice the number of its upper or left pixel in row-major order, plus one if it leads to
the right.
"""

from __future__ import annotations

import cv2
import numpy as np

from detection.arrays import FloatArray, Image, IntArray
from proposals.compilation import compiled

DIGIT_BITS = 11
"""Of a digit in the radix sort: three of them hold the bits of a positive float."""

BUCKETS = 1 << DIGIT_BITS


def sorted_edges(image: Image, sigma: float) -> IntArray:
    """Edges of an image [H, W, 3] smoothed with `sigma`, lightest first: uint64 [E].

    The upper half of an entry holds the bits of the weight, a float32; the lower half the edge's number. Equal weights are in the order of
    the numbers. The same for every scale.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, sigmaY=sigma)
    return _radix_sort(_weigh_edges(smooth))


def segment(edges: IntArray, size: tuple[int, int], k: float, min_size: int) -> IntArray:
    """Superpixels of an image of `size` (height, width) from its `sorted_edges`: int32 [H, W], numbered from 0 in the
    order in which a row-major scan meets them.

    Args:
        edges: from `sorted_edges`.
        size: (height, width).
        k: prefers larger superpixels.
        min_size: in pixels; smaller ones are joined to their most alike neighbour.
    """
    return _segment(edges, size[0], size[1], np.float32(k), min_size)


@compiled
def _weigh_edges(smooth: FloatArray) -> IntArray:
    """Edges in the order of their numbers. Sums of squares are rounded to float32 channel by channel, as OpenCV's."""
    height, width, channels = smooth.shape
    edges = np.empty(2 * height * width - height - width, np.uint64)
    weight = np.empty(1, np.float32)
    bits = weight.view(np.uint32)
    count = 0
    for y in range(height):
        for x in range(width):
            for right in range(2):
                if (x if right else y) + 1 == (width if right else height):
                    continue
                total = np.float32(0)
                for channel in range(channels):
                    step = np.float64(smooth[y, x, channel] - smooth[y + 1 - right, x + right, channel])
                    total = np.float32(total + step * step)
                weight[0] = np.sqrt(total)
                edges[count] = np.uint64(bits[0]) << np.uint64(32) | np.uint64(2 * (y * width + x) + right)
                count += 1
    return edges


@compiled
def _radix_sort(edges: IntArray) -> IntArray:
    """The edges sorted by weight, stable."""
    counts = np.zeros((3, BUCKETS), np.int64)
    for edge in edges:
        for digit in range(3):
            counts[digit, edge >> np.uint64(32 + DIGIT_BITS * digit) & np.uint64(BUCKETS - 1)] += 1
    source, target = edges.copy(), np.empty_like(edges)
    for digit in range(3):
        shift = np.uint64(32 + DIGIT_BITS * digit)
        start = 0
        for bucket in range(BUCKETS):
            count = counts[digit, bucket]
            counts[digit, bucket] = start
            start += count
        for edge in source:
            bucket = edge >> shift & np.uint64(BUCKETS - 1)
            target[counts[digit, bucket]] = edge
            counts[digit, bucket] += 1
        source, target = target, source
    return source


@compiled
def _find(parents: IntArray, node: int) -> int:
    """The root of the node's set; halves the path to it."""
    while parents[node] >= 0:
        above = parents[node]
        if parents[above] < 0:
            return above
        parents[node] = parents[above]
        node = parents[above]
    return node


@compiled
def _join(parents: IntArray, first: int, second: int) -> int:
    """Join two sets, by their roots; returns the root of both. A root holds minus the size of its set."""
    if parents[first] > parents[second]:
        first, second = second, first
    parents[first] += parents[second]
    parents[second] = first
    return first


@compiled
def _segment(edges: IntArray, height: int, width: int, k: float, min_size: int) -> IntArray:
    parents = np.full(height * width, -1, np.int32)
    limits = np.full(height * width, k, np.float32)  # the heaviest edge that a set still accepts, at its root
    rejected = np.empty_like(edges)
    rejections = 0
    bits = np.empty(1, np.uint32)
    weights = bits.view(np.float32)
    for edge in edges:
        number = np.int64(edge & np.uint64(0xFFFFFFFF))
        pixel = number >> 1
        first, second = _find(parents, pixel), _find(parents, pixel + (1 if number & 1 else width))
        if first == second:
            continue
        bits[0] = edge >> np.uint64(32)
        weight = weights[0]
        if weight <= limits[first] and weight <= limits[second]:
            root = _join(parents, first, second)
            limits[root] = weight + k / np.float32(-parents[root])
        else:
            rejected[rejections] = edge
            rejections += 1
    for edge in rejected[:rejections]:
        number = np.int64(edge & np.uint64(0xFFFFFFFF))
        pixel = number >> 1
        first, second = _find(parents, pixel), _find(parents, pixel + (1 if number & 1 else width))
        if first != second and min(-parents[first], -parents[second]) < min_size:
            _join(parents, first, second)
    return _number_sets(parents).reshape(height, width)


@compiled
def _number_sets(parents: IntArray) -> IntArray:
    numbers = np.full(len(parents), -1, np.int32)  # of the sets, at their roots
    labels = np.empty(len(parents), np.int32)
    count = 0
    for node in range(len(parents)):
        root = _find(parents, node)
        if numbers[root] < 0:
            numbers[root] = count
            count += 1
        labels[node] = numbers[root]
    return labels
