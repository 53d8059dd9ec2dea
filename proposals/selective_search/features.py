"""What selective search knows of each superpixel: size, box, and histograms of colour and texture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image
from proposals.selective_search.texture import BINS

COLOR_BINS = 25
"""Of a channel (Uijlings et al., IJCV 2013, section 3.2)."""


class RegionFeatures(NamedTuple):
    """Of N regions.

    `sizes` in pixels, int32 [N]; `boxes` int32 [N, 4], xyxy, half-open; `colors` float32 [N, 75] and `textures`
    float32 [N, 240], histograms whose bins add up to 1.
    """

    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    colors: FloatArray
    textures: FloatArray


def region_features(
    labels: NDArray[np.int32], image: Image, codes: NDArray[np.uint8], zeros: NDArray[np.uint8]
) -> RegionFeatures:
    """Features of the superpixels `labels` [H, W] of an image [H, W, 3] with its `texture_codes`."""
    count = int(labels.max()) + 1
    height, width = labels.shape
    boxes = np.tile(np.array([width, height, 0, 0], np.int32), (count, 1))
    _extend_boxes(boxes, labels)
    colors, textures = _count_bins(labels, image, codes, count)
    sizes = colors[:, 0].sum(axis=1, dtype=np.int32)
    total = sizes[:, None].astype(np.float32)
    colors = colors.reshape(count, -1).astype(np.float32) / (total * 3)
    return RegionFeatures(sizes, boxes, colors, _by_direction(textures, zeros).astype(np.float32) / (total * 24))


def _by_direction(textures: NDArray[np.int32], zeros: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Histograms of the directions [N, 240] from those of the codes [N, channel, axis, code]."""
    count, channels, axes, _ = textures.shape
    directions = textures.reshape(count, channels, axes, 2, BINS).copy()
    elsewhere = directions.sum(axis=-1)[..., ::-1]  # pixels that count as zero in a direction
    for direction in np.ndindex(zeros.shape):
        directions[(slice(None), *direction, zeros[direction])] += elsewhere[(slice(None), *direction)]
    return directions.reshape(count, -1)


@compiled
def _extend_boxes(boxes: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
    """Extend the box of each region by its pixels."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            box = boxes[labels[y, x]]
            box[0] = min(box[0], x)
            box[1] = min(box[1], y)
            box[2] = max(box[2], x + 1)
            box[3] = max(box[3], y + 1)


@compiled
def _count_bins(
    labels: NDArray[np.int32], image: Image, codes: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pixels of each region by colour, int32 [N, channel, bin], and by texture, int32 [N, channel, axis, code]."""
    colors = np.zeros((count, 3, COLOR_BINS), np.int32)
    textures = np.zeros((count, 3, 4, 2 * BINS), np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            region = labels[y, x]
            for channel in range(3):
                colors[region, channel, image[y, x, channel] * COLOR_BINS >> 8] += 1
                for axis in range(4):
                    textures[region, channel, axis, codes[channel, axis, y, x]] += 1
    return colors, textures
