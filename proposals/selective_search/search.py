"""Selective search in compiled loops and threads: superpixels, then hierarchical grouping (Uijlings et al., IJCV 2013).

`search` is the whole algorithm. It finds the regions that OpenCV's implementation finds, in a fraction of the time.
`group` is the grouping (algorithm 1 and section 3.2 of the paper): the two neighbours that are most similar are merged
until no neighbours are left.

Pairs of neighbours are the leaves of a binary tree whose nodes hold the greater key of their children; so finding the
most similar pair, and changing a similarity, take the logarithm of the number of pairs. A pair has two ends: the ends
of pair 3 have the numbers 6 and 7.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image, IntArray
from proposals.selective_search.features import RegionFeatures, neighbour_pairs, region_features, texture_codes
from proposals.selective_search.superpixels import PartialSegmentation, join_lightest, segment, sorted_edges


def search(images: Sequence[Image], scales: Sequence[int], sigma: float) -> IntArray:
    """Return the corners xyxy [N, 4] of all regions, in pixels; the box of several regions comes several times.

    What depends only on the colour space is computed once for all scales, and what depends on the superpixels once for
    both groupings, with colour and without. There are as many threads as OpenCV may have; their number does not change
    the result.

    Args:
        images: the image in several colour spaces, [H, W, 3] each.
        scales: values of k of the superpixels, which are also their minimum size in pixels.
        sigma: of the Gaussian smoothing before the segmentation.
    """
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as threads:

        def start(image: Image) -> PartialSegmentation:
            return join_lightest(sorted_edges(image, sigma), image.shape[:2], k=min(scales))

        partial = [threads.submit(start, image) for image in images]
        textures = [threads.submit(texture_codes, image) for image in images]

        def region_boxes(space: int, k: int) -> list[NDArray[np.int32]]:
            labels = segment(partial[space].result(), images[space].shape[:2], k=k, min_size=k)
            features = region_features(labels, images[space], *textures[space].result())
            pairs = neighbour_pairs(labels)
            return [features.boxes, *(group(pairs, features, colored=colored) for colored in (True, False))]

        boxes = threads.map(lambda job: region_boxes(*job), product(range(len(images)), scales))
        return np.concatenate([part for parts in boxes for part in parts]).astype(np.int64)


def load() -> None:
    """Load the machine code, or compile it; `detection.runtime.second_process` calls this when it starts."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    search([noise], [5], 0.8)


def group(pairs: NDArray[np.int32], features: RegionFeatures, *, colored: bool) -> NDArray[np.int32]:
    """Return the boxes xyxy of the regions that the merges make, in their order: int32 [M, 4].

    The similarity of two regions is the mean of their similarities in fill, texture and size, and in colour if
    `colored`. Of equally similar pairs, the one whose similarity was computed last is merged. All sums are rounded as
    OpenCV's are.

    Args:
        pairs: of neighbours, int32 [P, 2], the lower number first, ascending.
        features: of the superpixels of a whole image.
        colored: True to use the similarity in colour.
    """
    if not len(pairs):
        return np.empty((0, 4), np.int32)
    colors = features.colors if colored else features.colors[:, :0]
    copies = RegionFeatures(features.sizes.copy(), features.boxes.copy(), colors.copy(), features.textures.copy())
    return _group(pairs, copies)


class _Graph(NamedTuple):
    """Regions and pairs of neighbours.

    `owners` is the region at each end of a pair; `heads` and `following` are the ends of each region as a linked list;
    `tree` has its root at 1; `marks` is for each region the number of the merge that last found it as a neighbour;
    `area` is the number of pixels of all regions.

    The ends of pairs that are no more, whose key is 0, stay in the list of their region until the region is merged.
    """

    owners: NDArray[np.int32]
    heads: NDArray[np.int32]
    following: NDArray[np.int32]
    tree: NDArray[np.int64]
    marks: NDArray[np.int32]
    area: int


@compiled
def _group(pairs: NDArray[np.int32], regions: RegionFeatures) -> NDArray[np.int32]:
    """Merge the regions; the features of a merged region overwrite those of its part with the lower number."""
    graph = _link(pairs, regions.sizes)
    ends = np.empty(len(pairs), np.int32)
    rated = _rate_all(regions, graph, ends)
    merged = np.empty((len(regions.sizes), 4), np.int32)
    merges = 0
    while graph.tree[1] > 0:
        pair = _greatest(graph.tree)
        _set_key(graph.tree, pair, np.int64(0))
        owners = np.int64(graph.owners[2 * pair]), np.int64(graph.owners[2 * pair + 1])
        first, second = min(owners), max(owners)
        _merge_features(regions, first, second)
        for i in range(4):
            merged[merges, i] = regions.boxes[first, i]
        merges += 1
        count = _merge_neighbours(graph, first, second, merges, ends)
        rated = _rate(ends[:count], first, regions, graph, rated)
    return merged[:merges]


@compiled
def _link(pairs: NDArray[np.int32], sizes: NDArray[np.int32]) -> _Graph:
    """Return the graph of regions of these sizes, without similarities."""
    leaves = 1
    while leaves < len(pairs):
        leaves *= 2
    owners = pairs.copy().ravel()
    heads, following = np.full(len(sizes), -1, np.int32), np.empty(len(owners), np.int32)
    for end in range(len(owners) - 1, -1, -1):
        following[end] = heads[owners[end]]
        heads[owners[end]] = end
    marks = np.zeros(len(sizes), np.int32)
    return _Graph(owners, heads, following, np.zeros(2 * leaves, np.int64), marks, sizes.sum())


@compiled
def _rate_all(regions: RegionFeatures, graph: _Graph, ends: NDArray[np.int32]) -> np.int64:
    """Set the keys of all pairs, in ascending order of their regions, and return their number. Overwrites `ends`."""
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
    """Return the pair with the greatest key; no two keys are equal."""
    node, leaves = 1, len(tree) // 2
    while node < leaves:
        node *= 2
        if tree[node] < tree[node + 1]:
            node += 1
    return node - leaves


@compiled
def _set_key(tree: NDArray[np.int64], pair: int, key: np.int64) -> None:
    """Set the key of a pair, and the keys of the nodes above it."""
    node = len(tree) // 2 + pair
    tree[node] = key
    while node > 1:
        node //= 2
        greater = max(tree[2 * node], tree[2 * node + 1])
        if tree[node] == greater:
            break
        tree[node] = greater


@compiled
def _merge_features(regions: RegionFeatures, first: np.int64, second: np.int64) -> None:
    """Turn the features of the first region into those of both together."""
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
    """Give the first region the neighbours of both; writes its ends to `ends` and returns their number."""
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
def _rate(
    ends: NDArray[np.int32], region: np.int64, regions: RegionFeatures, graph: _Graph, rated: np.int64
) -> np.int64:
    """Set the keys of the pairs with these ends, all owned by `region`, and return the number of pairs rated so far.

    A key holds the bits of the similarity above the number of the rating, which decides among equal similarities.
    """
    others = np.empty(len(ends), np.int32)
    for i in range(len(ends)):
        others[i] = graph.owners[ends[i] ^ 1]
    similarities = _similarities(region, others, regions, graph.area)
    for i in range(len(ends)):
        rated += 1
        _set_key(graph.tree, ends[i] // 2, np.int64(np.float32(similarities[i]).view(np.int32)) << 32 | rated)
    return rated


@compiled
def _similarities(region: np.int64, others: NDArray[np.int32], regions: RegionFeatures, area: int) -> FloatArray:
    """Return the similarity of a region to each of the others: float32 [N], 0-1 up to rounding. OpenCV's weights."""
    colored = regions.colors.shape[1] > 0
    colors = _intersections(regions.colors, region, others)
    textures = _intersections(regions.textures, region, others)
    weight = np.float32(0.25 if colored else 0.3333)
    total = weight + weight + weight + (weight if colored else np.float32(0))
    pixels = np.float32(area)
    box = regions.boxes[region]
    for i in range(len(others)):
        size = regions.sizes[region] + regions.sizes[others[i]]
        other = regions.boxes[others[i]]
        width, height = max(box[2], other[2]) - min(box[0], other[0]), max(box[3], other[3]) - min(box[1], other[1])
        fill = np.float32(1) - np.float32(width * height - size) / pixels
        smallness = np.float32(1) - np.float32(size) / pixels
        textures[i] = (weight * colors[i] + weight * fill + weight * textures[i] + weight * smallness) / total
    return textures


@compiled
def _intersections(histograms: FloatArray, region: np.int64, others: NDArray[np.int32]) -> FloatArray:
    """Return the intersection of the histogram of a region with each of the others: float32 [N].

    The bins are added up in their order, and each sum waits for the one before it; so four sums are made side by side.
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
