"""Selective search in compiled loops, in threads: the regions that OpenCV's engine finds, many times as fast."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import Image, IntArray
from proposals.selective_search.adjacency import neighbour_pairs
from proposals.selective_search.features import region_features
from proposals.selective_search.grouping import group
from proposals.selective_search.superpixels import Beginning, begin, segment, sorted_edges
from proposals.selective_search.texture import texture_codes


def search(images: Sequence[Image], scales: Sequence[int], sigma: float) -> IntArray:
    """Corners xyxy [N, 4] of all regions, in pixels; boxes that several regions have come several times.

    What depends on the colour space alone is made once for all scales, and what depends on the superpixels once for
    both groupings, with colour and without. There are as many threads as OpenCV may have, and any number of them gives
    the same result.

    Args:
        images: an image in several colour spaces, [H, W, 3] each.
        scales: k of the superpixels and their minimal size.
        sigma: of the smoothing before the segmentation.
    """
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as threads:

        def start(image: Image) -> Beginning:
            return begin(sorted_edges(image, sigma), image.shape[:2], k=min(scales))

        beginnings = [threads.submit(start, image) for image in images]
        textures = [threads.submit(texture_codes, image) for image in images]

        def find(place: int, k: int) -> list[NDArray[np.int32]]:
            labels = segment(beginnings[place].result(), images[place].shape[:2], k=k, min_size=k)
            features = region_features(labels, images[place], *textures[place].result())
            pairs = neighbour_pairs(labels)
            return [features.boxes, *(group(pairs, features, colored=colored) for colored in (True, False))]

        boxes = threads.map(lambda job: find(*job), product(range(len(images)), scales))
        return np.concatenate([part for parts in boxes for part in parts]).astype(np.int64)


def load() -> None:
    """Have the machine code loaded, or made: see `detection.runtime.second_process`."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    search([noise], [5], 0.8)
