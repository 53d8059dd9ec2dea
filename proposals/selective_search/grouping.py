"""Hierarchical grouping of superpixels (Uijlings et al., IJCV 2013, algorithm 1 and section 3.2), in compiled loops.

The two neighbours that are most alike are merged until there are no neighbours left. Pairs of neighbours are the
leaves of a binary tree whose nodes hold the greater key of their children, so that finding the most alike pair, and a
change of a similarity, take the logarithm of their number. A pair has two ends, numbered twice its own number and that
plus one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray
from proposals.selective_search.features import RegionFeatures


class _Regions(NamedTuple):
    """Features of regions, `colors` without bins if they do not count.

    A merged region has the row of that of its two parts with the lower number.
    """

    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    colors: FloatArray
    textures: FloatArray
    area: int


class _Graph(NamedTuple):
    """Regions and pairs.

    `owners`, the region at each end of a pair; `heads` and `following`, the ends of a region as a linked list; `tree`,
    its root at 1; `marks`, the number of the merge at which a region was last found to be a neighbour.

    Ends of pairs that are no more, whose key is 0, stay in the list of their region until it is merged.
    """

    owners: NDArray[np.int32]
    heads: NDArray[np.int32]
    following: NDArray[np.int32]
    tree: NDArray[np.int64]
    marks: NDArray[np.int32]


def group(pairs: NDArray[np.int32], features: RegionFeatures, *, colored: bool) -> NDArray[np.int32]:
    """Boxes xyxy of the regions that the merges make, in their order: int32 [M, 4].

    Similarity is the mean of those of fill, texture and size, and of colour if `colored`. Of pairs that are equally
    alike, the one is merged whose similarity was found last. All sums are rounded as OpenCV's are.

    Args:
        pairs: of neighbours, int32 [P, 2], the lower number first, ascending.
        features: of the superpixels of a whole image.
        colored: whether colour counts.
    """
    if not len(pairs):
        return np.empty((0, 4), np.int32)
    colors = features.colors if colored else features.colors[:, :0]
    return _group(pairs, features.sizes.copy(), features.boxes.copy(), colors.copy(), features.textures.copy())


@compiled
def _group(
    pairs: NDArray[np.int32],
    sizes: NDArray[np.int32],
    boxes: NDArray[np.int32],
    colors: FloatArray,
    textures: FloatArray,
) -> NDArray[np.int32]:
    regions = _Regions(sizes, boxes, colors, textures, sizes.sum())
    graph = _link(pairs, len(sizes))
    ends = np.empty(len(pairs), np.int32)
    rated = _rate_all(regions, graph, ends)
    merged = np.empty((len(sizes), 4), np.int32)
    merges = 0
    while graph.tree[1] > 0:
        pair = _greatest(graph.tree)
        _set_key(graph.tree, pair, np.int64(0))
        owners = np.int64(graph.owners[2 * pair]), np.int64(graph.owners[2 * pair + 1])
        first, second = min(owners), max(owners)
        _merge_features(regions, first, second)
        for i in range(4):
            merged[merges, i] = boxes[first, i]
        merges += 1
        count = _merge_neighbours(graph, first, second, merges, ends)
        rated = _rate(ends[:count], first, regions, graph, rated)
    return merged[:merges]


@compiled
def _link(pairs: NDArray[np.int32], count: int) -> _Graph:
    """The graph of `count` regions, without similarities."""
    leaves = 1
    while leaves < len(pairs):
        leaves *= 2
    owners = pairs.copy().ravel()
    heads, following = np.full(count, -1, np.int32), np.empty(len(owners), np.int32)
    for end in range(len(owners) - 1, -1, -1):
        following[end] = heads[owners[end]]
        heads[owners[end]] = end
    return _Graph(owners, heads, following, np.zeros(2 * leaves, np.int64), np.zeros(count, np.int32))


@compiled
def _rate_all(regions: _Regions, graph: _Graph, ends: NDArray[np.int32]) -> np.int64:
    """Set the keys of all pairs, whose `owners` are in ascending order; returns their number. Writes `ends`."""
    rated = np.int64(0)
    for region in range(len(graph.heads)):
        count = 0
        end = graph.heads[region]
        while end >= 0:
            if graph.owners[end ^ 1] > region:
                ends[count] = end
                count += 1
            end = graph.following[end]
        rated = _rate(ends[:count], np.int64(region), regions, graph, rated)
    return rated


@compiled
def _greatest(tree: NDArray[np.int64]) -> int:
    """The pair with the greatest key; keys differ."""
    node, leaves = 1, len(tree) // 2
    while node < leaves:
        node *= 2
        if tree[node] < tree[node + 1]:
            node += 1
    return node - leaves


@compiled
def _set_key(tree: NDArray[np.int64], pair: int, key: np.int64) -> None:
    node = len(tree) // 2 + pair
    tree[node] = key
    while node > 1:
        node //= 2
        greater = max(tree[2 * node], tree[2 * node + 1])
        if tree[node] == greater:
            break
        tree[node] = greater


@compiled
def _merge_features(regions: _Regions, first: np.int64, second: np.int64) -> None:
    """Make the row of the first region that of both."""
    first_size, second_size = regions.sizes[first], regions.sizes[second]
    for histograms in (regions.colors, regions.textures):
        for i in range(histograms.shape[1]):
            weighted = histograms[first, i] * np.float32(first_size) + histograms[second, i] * np.float32(second_size)
            histograms[first, i] = weighted / np.float32(first_size + second_size)
    regions.sizes[first] = first_size + second_size
    box, other_box = regions.boxes[first], regions.boxes[second]
    for i in range(2):
        box[i] = min(box[i], other_box[i])
        box[i + 2] = max(box[i + 2], other_box[i + 2])


@compiled
def _merge_neighbours(graph: _Graph, first: np.int64, second: np.int64, merge: int, ends: NDArray[np.int32]) -> int:
    """Give the first region the neighbours of both; writes its `ends` and returns their number."""
    leaves = len(graph.tree) // 2
    count = 0
    for region in (first, second):
        end = graph.heads[region]
        while end >= 0:
            neighbour = graph.owners[end ^ 1]
            if graph.tree[leaves + end // 2] > 0:
                if graph.marks[neighbour] == merge:  # a neighbour of both
                    _set_key(graph.tree, end // 2, np.int64(0))
                else:
                    graph.marks[neighbour] = merge
                    graph.owners[end] = first
                    ends[count] = end
                    count += 1
            end = graph.following[end]
    graph.heads[first] = -1
    for end in ends[:count][::-1]:
        graph.following[end] = graph.heads[first]
        graph.heads[first] = end
    return count


@compiled
def _rate(ends: NDArray[np.int32], region: np.int64, regions: _Regions, graph: _Graph, rated: np.int64) -> np.int64:
    """Set the keys of the pairs with these ends, all owned by `region`; returns the number of pairs rated so far.

    A key is the bits of the similarity, above the number of the rating, which decides among equals.
    """
    others = np.empty(len(ends), np.int32)
    for i in range(len(ends)):
        others[i] = graph.owners[ends[i] ^ 1]
    similarities = _similarities(region, others, regions)
    for i in range(len(ends)):
        rated += 1
        _set_key(graph.tree, ends[i] // 2, np.int64(np.float32(similarities[i]).view(np.int32)) << 32 | rated)
    return rated


@compiled
def _similarities(region: np.int64, others: NDArray[np.int32], regions: _Regions) -> FloatArray:
    """Of a region to others: float32 [N], 0-1 but for rounding. The weights are OpenCV's."""
    colored = regions.colors.shape[1] > 0
    colors = _intersections(regions.colors, region, others)
    textures = _intersections(regions.textures, region, others)
    weight = np.float32(0.25 if colored else 0.3333)
    total = weight + weight + weight + (weight if colored else np.float32(0))
    area = np.float32(regions.area)
    box = regions.boxes[region]
    for i in range(len(others)):
        size = regions.sizes[region] + regions.sizes[others[i]]
        other = regions.boxes[others[i]]
        width, height = max(box[2], other[2]) - min(box[0], other[0]), max(box[3], other[3]) - min(box[1], other[1])
        fill = np.float32(1) - np.float32(width * height - size) / area
        smallness = np.float32(1) - np.float32(size) / area
        textures[i] = (weight * colors[i] + weight * fill + weight * textures[i] + weight * smallness) / total
    return textures


@compiled
def _intersections(histograms: FloatArray, region: np.int64, others: NDArray[np.int32]) -> FloatArray:
    """Of the histogram of a region with those of others: float32 [N].

    Bins are added up in their order, each sum waiting for the one before it; so four sums are made side by side.
    """
    sums = np.empty((len(others) + 3) // 4 * 4, np.float32)
    last = len(others) - 1
    for i in range(0, len(others), 4):
        a, b, c, d = others[i], others[min(i + 1, last)], others[min(i + 2, last)], others[min(i + 3, last)]
        sum_a = sum_b = sum_c = sum_d = np.float32(0)
        for j in range(histograms.shape[1]):
            own = histograms[region, j]
            sum_a += min(own, histograms[a, j])
            sum_b += min(own, histograms[b, j])
            sum_c += min(own, histograms[c, j])
            sum_d += min(own, histograms[d, j])
        sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = sum_a, sum_b, sum_c, sum_d
    return sums[: len(others)]
