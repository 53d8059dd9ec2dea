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

from detection.runtime.compilation import compiled, compiled_part
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
        sigma: the sigma of the Gaussian smoothing before the segmentation, in pixels.
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
        pairs: the pairs of neighbours, int32 [P, 2], the lower number first, ascending.
        features: the features of the superpixels of a whole image.
        colored: True to use the similarity in colour.
    """
    if not len(pairs):
        return np.empty((0, 4), np.int32)
    colors = features.colors if colored else features.colors[:, :0]
    copies = RegionFeatures(features.sizes.copy(), features.boxes.copy(), colors.copy(), features.textures.copy())
    merged = np.empty((len(copies.sizes), 4), np.int32)
    return merged[: _group(copies, _graph(pairs, copies.sizes), merged)]


class _Graph(NamedTuple):
    """Regions and pairs of neighbours.

    `owners` is the region at each end of a pair; `heads` and `following` are the ends of each region as a linked list;
    `tree` has its root at 1; `marks` is for each region the number of the merge that last found it as a neighbour;
    `area` is the number of pixels of all regions.

    The ends of removed pairs, whose key is 0, stay in the list of their region until the region is merged.

    Three arrays are for the use of `_rate`: `ends` has the ends of the region that is rated, `sums` [2, P + 3] its
    similarities in colour, and those in texture and then all; `bits` int32 is the memory of the second row.
    """

    owners: NDArray[np.int32]
    heads: NDArray[np.int32]
    following: NDArray[np.int32]
    tree: NDArray[np.int64]
    marks: NDArray[np.int32]
    ends: NDArray[np.int32]
    sums: FloatArray
    bits: NDArray[np.int32]
    area: int


def _graph(pairs: NDArray[np.int32], sizes: NDArray[np.int32]) -> _Graph:
    """Return the graph of pairs [P, 2] of regions of these sizes, without lists and similarities."""
    leaves = 1 << (len(pairs) - 1).bit_length()
    sums = np.empty((2, len(pairs) + 3), np.float32)
    return _Graph(
        owners=pairs.ravel().copy(),
        heads=np.full(len(sizes), -1, np.int32),
        following=np.empty(pairs.size, np.int32),
        tree=np.zeros(2 * leaves, np.int64),
        marks=np.zeros(len(sizes), np.int32),
        ends=np.empty(len(pairs), np.int32),
        sums=sums,
        bits=sums[1].view(np.int32),
        area=int(sizes.sum()),
    )


@compiled
def _group(regions: RegionFeatures, graph: _Graph, merged: NDArray[np.int32]) -> int:
    """Rate all pairs in ascending order of their regions, merge the regions, and return the number of merges.

    The features of a merged region overwrite those of its part with the lower number. Its box is written to `merged`.
    """
    for end in range(len(graph.owners) - 1, -1, -1):
        graph.following[end] = graph.heads[graph.owners[end]]
        graph.heads[graph.owners[end]] = end
    merges, rated = 0, np.int64(0)  # functions would be compiled again for the type of a literal
    for i in range(len(graph.heads)):
        region = np.int64(i)
        rated = _rate(_find_ends_to_higher(graph, region), region, regions, graph, rated)
    while graph.tree[1] > 0:
        pair = _greatest(graph.tree)
        _set_key(graph.tree, pair, np.int64(0))
        first, second = np.int64(graph.owners[2 * pair]), np.int64(graph.owners[2 * pair + 1])
        if first > second:
            first, second = second, first
        _merge_features(regions, first, second)
        for i in range(4):
            merged[merges, i] = regions.boxes[first, i]
        merges += 1
        rated = _rate(_merge_neighbours(graph, first, second, merges), first, regions, graph, rated)
    return merges


@compiled_part
def _find_ends_to_higher(graph: _Graph, region: np.int64) -> int:
    """Write the ends of a region whose pairs lead to regions of higher numbers, and return how many there are."""
    count, end = 0, np.int64(graph.heads[region])
    while end >= 0:
        if graph.owners[end ^ 1] > region:
            graph.ends[count] = end
            count += 1
        end = np.int64(graph.following[end])
    return count


@compiled_part
def _greatest(tree: NDArray[np.int64]) -> np.int64:
    """Return the pair with the greatest key; no two keys are equal."""
    node, leaves = np.int64(1), len(tree) // 2
    while node < leaves:
        node *= 2
        if tree[node] < tree[node + 1]:
            node += 1
    return node - leaves


@compiled_part
def _set_key(tree: NDArray[np.int64], pair: np.int64, key: np.int64) -> None:
    """Set the key of a pair, and the keys of the nodes above it."""
    node = len(tree) // 2 + pair
    tree[node] = key
    while node > 1:
        node //= 2
        greater = tree[2 * node] if tree[2 * node] > tree[2 * node + 1] else tree[2 * node + 1]
        if tree[node] == greater:
            break
        tree[node] = greater


@compiled_part
def _merge_features(regions: RegionFeatures, first: np.int64, second: np.int64) -> None:
    """Turn the features of the first region into those of both together."""
    sizes, boxes, colors, textures = regions
    _merge_histograms(colors, sizes, first, second)
    _merge_histograms(textures, sizes, first, second)
    sizes[first] += sizes[second]
    for i in range(2):
        boxes[first, i] = min(boxes[first, i], boxes[second, i])
        boxes[first, i + 2] = max(boxes[first, i + 2], boxes[second, i + 2])


@compiled_part
def _merge_histograms(histograms: FloatArray, sizes: NDArray[np.int32], first: np.int64, second: np.int64) -> None:
    first_size, second_size = np.float32(sizes[first]), np.float32(sizes[second])
    both = np.float32(sizes[first] + sizes[second])
    for i in range(histograms.shape[1]):
        histograms[first, i] = (histograms[first, i] * first_size + histograms[second, i] * second_size) / both


@compiled_part
def _merge_neighbours(graph: _Graph, first: np.int64, second: np.int64, merge: int) -> int:
    """Give the first region the neighbours of both; writes its ends to `graph.ends` and returns their number."""
    leaves = len(graph.tree) // 2
    count = 0
    for region in (first, second):
        end = np.int64(graph.heads[region])
        while end >= 0:
            neighbour = graph.owners[end ^ 1]
            if graph.tree[leaves + end // 2] > 0:
                if graph.marks[neighbour] == merge:  # a neighbour of both
                    _set_key(graph.tree, end // 2, np.int64(0))
                else:
                    graph.marks[neighbour] = merge
                    graph.owners[end] = first
                    graph.ends[count] = end
                    count += 1
            end = np.int64(graph.following[end])
    graph.heads[first] = -1
    for i in range(count - 1, -1, -1):
        graph.following[graph.ends[i]] = graph.heads[first]
        graph.heads[first] = graph.ends[i]
    return count


@compiled_part
def _rate(count: int, region: np.int64, regions: RegionFeatures, graph: _Graph, rated: np.int64) -> np.int64:
    """Set the keys of the pairs of the first `count` ends in `graph.ends`, which all belong to `region`.

    A key holds the bits of the similarity, a float32 that is 0-1 up to rounding, above the number of the rating, which
    decides among equal similarities. The weights are those of OpenCV.

    Args:
        count: the number of ends.
        region: their owner.
        regions: the features.
        graph: changed.
        rated: the number of pairs rated so far.

    Returns:
        The number of pairs rated, these included.
    """
    sizes, boxes, colors, textures = regions
    colored = colors.shape[1] > 0
    _intersections(colors, region, graph, count, graph.sums[0])
    _intersections(textures, region, graph, count, graph.sums[1])
    weight = np.float32(0.25 if colored else 0.3333)
    total = weight + weight + weight + (weight if colored else np.float32(0))
    pixels = np.float32(graph.area)
    for i in range(count):
        end = np.int64(graph.ends[i])
        other = graph.owners[end ^ 1]
        size = sizes[region] + sizes[other]
        width = max(boxes[region, 2], boxes[other, 2]) - min(boxes[region, 0], boxes[other, 0])
        height = max(boxes[region, 3], boxes[other, 3]) - min(boxes[region, 1], boxes[other, 1])
        fill = np.float32(1) - np.float32(width * height - size) / pixels
        smallness = np.float32(1) - np.float32(size) / pixels
        color, texture = graph.sums[0, i], graph.sums[1, i]
        graph.sums[1, i] = (weight * color + weight * fill + weight * texture + weight * smallness) / total
        rated += 1
        _set_key(graph.tree, end // 2, np.int64(graph.bits[i]) << 32 | rated)
    return rated


@compiled_part
def _intersections(histograms: FloatArray, region: np.int64, graph: _Graph, count: int, sums: FloatArray) -> None:
    """Write the intersections of the histogram of a region with those at the other ends of its pairs to `sums`.

    The bins are added up in their order, and each sum waits for the one before it; so four sums are made side by side.
    """
    owners, ends = graph.owners, graph.ends
    for i in range(0, count, 4):
        last = count - 1
        a, b = owners[ends[i] ^ 1], owners[ends[min(i + 1, last)] ^ 1]
        c, d = owners[ends[min(i + 2, last)] ^ 1], owners[ends[min(i + 3, last)] ^ 1]
        sum_a = sum_b = sum_c = sum_d = np.float32(0)
        for j in range(histograms.shape[1]):
            own = histograms[region, j]
            sum_a += min(own, histograms[a, j])
            sum_b += min(own, histograms[b, j])
            sum_c += min(own, histograms[c, j])
            sum_d += min(own, histograms[d, j])
        sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = sum_a, sum_b, sum_c, sum_d
