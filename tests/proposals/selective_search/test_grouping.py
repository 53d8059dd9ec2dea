"""Pairs of neighbours, features and the grouping of superpixels, compared with naive loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from proposals.selective_search.features import RegionFeatures, neighbour_pairs, region_features
from proposals.selective_search.search import group

Labels = NDArray[np.int32]


def cells(seed: int, regions: int, shape: tuple[int, int]) -> Labels:
    """Return random labels [H, W]: for each pixel, the number of the nearest of some random points."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, shape, (regions, 2))
    distances = ((np.indices(shape)[..., None] - points.T[:, None, None]) ** 2).sum(axis=0)
    _, labels = np.unique(distances.argmin(axis=-1), return_inverse=True)
    return labels.reshape(shape).astype(np.int32)


def random_features(seed: int, labels: Labels) -> RegionFeatures:
    """Return the true sizes and boxes of the superpixels, and random histograms."""
    generator = np.random.default_rng(seed)
    count = labels.max() + 1
    places = [np.argwhere(labels == label) for label in range(count)]
    boxes = [[*each.min(axis=0)[::-1], *(each.max(axis=0) + 1)[::-1]] for each in places]
    histograms = [generator.dirichlet(np.full(bins, 0.3), count).astype(np.float32) for bins in (75, 240)]
    return RegionFeatures(np.array([*map(len, places)], np.int32), np.array(boxes, np.int32), *histograms)


def naive_pairs(labels: Labels) -> list[tuple[int, int]]:
    pairs = set()
    for y in range(1, labels.shape[0]):
        for x in range(1, labels.shape[1]):
            for other in (labels[y, x - 1], labels[y - 1, x], labels[y - 1, x - 1]):
                if other != labels[y, x]:
                    pairs.add((int(min(other, labels[y, x])), int(max(other, labels[y, x]))))
    return sorted(pairs)


def naive_grouping(pairs: list[tuple[int, int]], features: RegionFeatures, *, colored: bool) -> list[list[int]]:
    """Return the boxes of the paper's algorithm in double precision, with all similarities computed at every merge."""
    sizes, boxes, colors, textures = (list(each.astype(float)) for each in features)
    area = sum(sizes)
    neighbours = {frozenset(pair) for pair in pairs}

    def joined(a: int, b: int) -> NDArray[np.float64]:
        return np.concatenate([np.minimum(boxes[a][:2], boxes[b][:2]), np.maximum(boxes[a][2:], boxes[b][2:])])

    def similarity(pair: frozenset[int]) -> float:
        a, b = pair
        box = joined(a, b)
        fill = 1 - ((box[2] - box[0]) * (box[3] - box[1]) - sizes[a] - sizes[b]) / area
        parts = [fill, np.minimum(textures[a], textures[b]).sum(), 1 - (sizes[a] + sizes[b]) / area]
        return float(np.mean([*parts, np.minimum(colors[a], colors[b]).sum()] if colored else parts))

    merged = []
    while neighbours:
        a, b = max(neighbours, key=similarity)
        new = len(sizes)
        shares = np.array([sizes[a], sizes[b]]) / (sizes[a] + sizes[b])
        boxes.append(joined(a, b))
        for histograms in (colors, textures):
            histograms.append(shares @ [histograms[a], histograms[b]])
        sizes.append(sizes[a] + sizes[b])
        renamed = {frozenset(new if each in (a, b) else each for each in pair) for pair in neighbours}
        neighbours = {pair for pair in renamed if len(pair) == 2}
        merged.append([int(each) for each in boxes[new]])
    return merged


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("regions", "shape"), [(2, (9, 9)), (12, (20, 30)), (60, (50, 40))])
def test_pairs_against_a_naive_loop(seed: int, regions: int, shape: tuple[int, int]) -> None:
    labels = cells(seed, regions, shape)
    pairs = neighbour_pairs(labels)
    assert pairs.dtype == np.int32
    np.testing.assert_array_equal(pairs, naive_pairs(labels))


def test_pairs_of_every_pixel_its_own_region() -> None:
    labels = np.random.default_rng(0).permutation(30 * 20).reshape(30, 20).astype(np.int32)
    pairs = neighbour_pairs(labels)
    np.testing.assert_array_equal(pairs, naive_pairs(labels))
    assert len(pairs) == 3 * 29 * 19


def test_first_row_and_column_touch_only_inner_pixels() -> None:
    # Of the second row's last pixel: 2 to the left, 1 above, 0 to the left above. Nothing ties 0 to 1 or to 2.
    np.testing.assert_array_equal(neighbour_pairs(np.array([[0, 1], [2, 3]], np.int32)), [[0, 3], [1, 3], [2, 3]])
    assert neighbour_pairs(np.arange(5, dtype=np.int32)[None]).shape == (0, 2)
    assert neighbour_pairs(np.arange(5, dtype=np.int32)[:, None]).shape == (0, 2)


@pytest.mark.parametrize("colored", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("regions", "shape"), [(2, (9, 9)), (12, (20, 30)), (60, (50, 40))])
def test_merges_against_a_naive_loop(seed: int, regions: int, shape: tuple[int, int], colored: bool) -> None:
    labels = cells(seed, regions, shape)
    features = random_features(seed, labels)
    before = [each.copy() for each in features]
    pairs = neighbour_pairs(labels)
    merged = group(pairs, features, colored=colored)
    np.testing.assert_array_equal(merged, naive_grouping(naive_pairs(labels), features, colored=colored))
    assert len(merged) == labels.max()  # until one region is left
    np.testing.assert_array_equal(merged[-1], [0, 0, *shape[::-1]])
    for each, copy in zip(features, before, strict=True):
        np.testing.assert_array_equal(each, copy)


def test_colour_counts_only_if_colored() -> None:
    # Three in a row: 0 and 1 share their texture, 1 and 2 their colour, which nothing else decides.
    colors, textures = np.zeros((3, 75), np.float32), np.zeros((3, 240), np.float32)
    colors[[0, 1, 2], [0, 1, 1]] = 1
    textures[[0, 1, 2], [5, 5, 6]] = 1
    textures[2, [5, 6]] = 0.5  # similarities of 1 and 2: 1 and 0.5; of 0 and 1: 0 and 1
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]], np.int32)
    features = RegionFeatures(np.ones(3, np.int32), boxes, colors, textures)
    pairs = np.array([[0, 1], [1, 2]], np.int32)
    np.testing.assert_array_equal(group(pairs, features, colored=True), [[1, 0, 3, 1], [0, 0, 3, 1]])
    np.testing.assert_array_equal(group(pairs, features, colored=False), [[0, 0, 2, 1], [0, 0, 3, 1]])


def test_last_of_equally_similar_pairs_is_merged() -> None:
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]], np.int32)
    histograms = np.zeros((3, 75), np.float32), np.zeros((3, 240), np.float32)
    features = RegionFeatures(np.ones(3, np.int32), boxes, *histograms)
    merged = group(np.array([[0, 1], [1, 2]], np.int32), features, colored=True)
    np.testing.assert_array_equal(merged, [[1, 0, 3, 1], [0, 0, 3, 1]])


def test_regions_without_neighbours_are_not_merged() -> None:
    features = random_features(0, cells(0, 4, (9, 9)))
    assert group(np.empty((0, 2), np.int32), features, colored=True).shape == (0, 4)


@pytest.mark.parametrize("seed", range(3))
def test_features_against_a_naive_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = cells(seed, 7, (15, 11))
    image = generator.integers(0, 256, (15, 11, 3), dtype=np.uint8)
    codes = generator.integers(0, 20, (3, 4, 15, 11), dtype=np.uint8)
    zeros = generator.integers(0, 10, (3, 4, 2), dtype=np.uint8)
    features = region_features(labels, image, codes, zeros)
    expected = random_features(0, labels)
    np.testing.assert_array_equal(features.sizes, expected.sizes)
    np.testing.assert_array_equal(features.boxes, expected.boxes)
    colors, textures = np.zeros((labels.max() + 1, 3, 25)), np.zeros((labels.max() + 1, 3, 4, 2, 10))
    for y, x, channel in np.ndindex(image.shape):
        colors[labels[y, x], channel, int(image[y, x, channel] / (256 / 25))] += 1
        for axis in range(4):
            direction, bin_ = divmod(int(codes[channel, axis, y, x]), 10)
            textures[labels[y, x], channel, axis, direction, bin_] += 1
            textures[labels[y, x], channel, axis, 1 - direction, zeros[channel, axis, 1 - direction]] += 1
    for histograms, counts in ((features.colors, colors), (features.textures, textures)):
        assert histograms.dtype == np.float32
        flat = counts.reshape(len(counts), -1)
        np.testing.assert_allclose(histograms, flat / flat.sum(axis=1, keepdims=True), rtol=1e-6)


def test_random_labels_are_consecutive_and_sparse() -> None:
    labels = cells(0, 60, (50, 40))
    assert sorted(set(labels.ravel().tolist())) == list(range(labels.max() + 1))
    assert len(neighbour_pairs(labels)) < len(list(combinations(range(labels.max() + 1), 2))) / 2
