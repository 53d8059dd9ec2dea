"""Superpixels, compared with results by hand, scikit-image's and OpenCV's."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.segmentation
import sklearn.metrics
from numpy.typing import NDArray

from detection.structures.arrays import Image
from proposals.selective_search.superpixels import join_lightest, segment, sorted_edges

UNSMOOTHED = 0.01
"""A sigma whose kernel is one pixel."""


def superpixels(image: Any, *, k: float, min_size: int, sigma: float = UNSMOOTHED) -> NDArray[np.int32]:
    size = image.shape[:2]
    return segment(join_lightest(sorted_edges(image, sigma), size, k=k), size, k=k, min_size=min_size)


@pytest.mark.parametrize(
    ("k", "min_size", "expected"),
    [
        # Edges weigh 5, 0 and 100. The lightest joins pixels 1 and 2, which then accept up to 0 + 10 / 2 = 5: pixel 0
        # joins, and the three accept up to 5 + 10 / 3.
        pytest.param(10, 1, [0, 0, 0, 1], id="edge equal to the limit"),
        # They accept up to 4.95.
        pytest.param(9.9, 1, [0, 1, 1, 2], id="edge above the limit"),
        # Then pixel 0 is smaller than two and joins by the edge of 5, pixel 3 by that of 100.
        pytest.param(9.9, 2, [0, 0, 0, 0], id="minimal size"),
        # Pixels 1 and 2, and then 0, accept up to 5 + 100 / 3, and pixel 3 up to 100.
        pytest.param(100, 1, [0, 0, 0, 1], id="both sets must accept"),
    ],
)
def test_derived_by_hand(k: float, min_size: int, expected: list[int]) -> None:
    strip = np.array([[[0, 0, 0], [3, 4, 0], [3, 4, 0], [103, 4, 0]]], np.uint8)
    labels = superpixels(strip, k=k, min_size=min_size)
    np.testing.assert_array_equal(labels, [expected])
    np.testing.assert_array_equal(superpixels(strip.swapaxes(0, 1), k=k, min_size=min_size), labels.T)


def test_partial_segmentation_serves_all_larger_scales() -> None:
    image, size = skimage.data.astronaut()[:120, :160], (120, 160)  # type: ignore[no-untyped-call]
    edges = sorted_edges(image, 0.8)
    partial = join_lightest(edges, size, k=50)
    assert 100 < len(partial.edges) < 0.9 * len(edges)
    kept = partial.nodes.copy()
    for k in (50, 51, 100, 2000):
        labels = segment(partial, size, k=k, min_size=20)
        np.testing.assert_array_equal(labels, segment(join_lightest(edges, size, k=k), size, k=k, min_size=20))
        np.testing.assert_array_equal(labels, segment(join_lightest(edges, size, k=0), size, k=k, min_size=20))
    np.testing.assert_array_equal(partial.nodes, kept)


def test_partial_segmentation_ends_before_the_first_rejected_edge() -> None:
    # Edges weigh 5, 0 and 100; that of 0 joins, and at k = 9.9 that of 5 is refused.
    strip = np.array([[[0, 0, 0], [3, 4, 0], [3, 4, 0], [103, 4, 0]]], np.uint8)
    edges = sorted_edges(strip, UNSMOOTHED)
    left = [len(join_lightest(edges, (1, 4), k=k).edges) for k in (0, 9.9, 10, 1000)]
    assert left == [2, 2, 1, 0]


def test_edges_are_sorted_by_weight_then_number() -> None:
    image = np.random.default_rng(0).integers(0, 3, (7, 5, 3), dtype=np.uint8)
    entries = sorted_edges(image, UNSMOOTHED)
    weights = (entries >> np.uint64(32)).astype(np.uint32).view(np.float32)
    numbers = (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
    y, x = np.divmod(numbers // 2, 5)
    right = numbers % 2
    difference = image[y, x].astype(float) - image[y + 1 - right, x + right]
    np.testing.assert_allclose(weights, np.sqrt((difference**2).sum(axis=1)), rtol=1e-6)
    np.testing.assert_array_equal(np.lexsort((numbers, weights)), np.arange(len(entries)))
    assert len(set(numbers.tolist())) == len(numbers) == 7 * 4 + 6 * 5


@pytest.mark.parametrize("seed", range(5))
def test_strip_as_scikit_image_cuts_it(seed: int) -> None:
    """On a strip, scikit-image's diagonal edges, which OpenCV does not have, make no difference."""
    generator = np.random.default_rng(seed)
    strip = generator.uniform(0, 60, (1, 600, 3)).cumsum(axis=1) % 255  # no two edges weigh the same
    ours = superpixels(strip, k=100, min_size=5)
    theirs = skimage.segmentation.felzenszwalb(strip / 255, scale=100, sigma=0, min_size=5, channel_axis=-1)
    np.testing.assert_array_equal(ours, theirs)
    assert 20 < ours.max() < 200


def test_photo_much_as_scikit_image_cuts_it(photo_pixels: Image) -> None:
    ours = superpixels(photo_pixels, k=100, min_size=50, sigma=0.8)
    theirs = skimage.segmentation.felzenszwalb(photo_pixels, scale=100, sigma=0.8, min_size=50, channel_axis=-1)
    agreement = sklearn.metrics.adjusted_rand_score(theirs.ravel(), ours.ravel())  # 0 by chance, 1 if equal
    assert agreement > 0.5


@pytest.mark.parametrize("k", [20, 50, 200])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_photo_as_opencv_cuts_it(name: str, k: int) -> None:
    image = cv2.cvtColor(getattr(skimage.data, name)()[:200, :300], cv2.COLOR_RGB2Lab)
    expected = cv2.ximgproc.segmentation.createGraphSegmentation(0.8, float(k), k).processImage(image)
    labels = superpixels(np.asarray(image, np.uint8), k=k, min_size=k, sigma=0.8)
    assert labels.dtype == np.int32
    assert (labels == expected).mean() > 0.99
    assert abs(int(labels.max()) - int(expected.max())) <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_small_images_of_one_colour_are_one_superpixel(shape: tuple[int, int]) -> None:
    labels = superpixels(np.full((*shape, 3), 9, np.uint8), k=1, min_size=1, sigma=0.8)
    np.testing.assert_array_equal(labels, np.zeros(shape))
