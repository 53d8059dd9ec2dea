"""Which superpixels touch each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled


def neighbour_pairs(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pairs of touching superpixels of `labels` [H, W]: int32 [P, 2], the lower label first, in ascending order.

    As in OpenCV, a pixel that is neither in the first row nor in the first column touches those to its left, above it,
    and to its left above; so a strip one pixel wide has no pairs.
    """
    count = int(labels.max()) + 1
    keys = np.sort(_touching(labels, count))
    return np.stack([keys // count, keys % count], axis=1).astype(np.int32)


@compiled
def _touching(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Lower label times the number of labels plus upper label of each pair, once, in any order.

    Pixels and their three neighbours make a planar graph, and so do the superpixels: less than three pairs for each.
    """
    slots = 8
    while slots < 8 * count:
        slots *= 2
    table = np.full(slots, -1, np.int64)  # open addressing
    for y in range(1, labels.shape[0]):
        for x in range(1, labels.shape[1]):
            label = np.int64(labels[y, x])
            for other in (labels[y, x - 1], labels[y - 1, x], labels[y - 1, x - 1]):
                if other == label:
                    continue
                key = min(label, other) * count + max(label, other)
                slot = (key * 0x9E3779B1 >> 16) & (slots - 1)
                while table[slot] != key:
                    if table[slot] < 0:
                        table[slot] = key
                        break
                    slot = (slot + 1) & (slots - 1)
    return table[table >= 0]
