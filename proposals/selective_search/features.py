"""Features of superpixels (Uijlings et al., IJCV 2013, section 3.2), and which superpixels touch.

The features are size, box, and histograms of colour and texture. `texture_codes` describes the texture of an image
once; `region_features` counts it, and the colours, for each superpixel; `neighbour_pairs` finds those that touch. The
texture of a pixel is its derivatives in eight directions. The paper has Gaussian derivatives; OpenCV has Scharr's, and
turns the image for the directions between the axes, and so does this module.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled, compiled_part
from detection.structures.arrays import FloatArray, Image

COLOR_BINS = 25
"""The number of bins of the histogram of a channel."""

TEXTURE_BINS = 10
"""The number of bins of the histogram of a direction."""


class RegionFeatures(NamedTuple):
    """Features of N regions.

    `sizes` in pixels, int32 [N]; `boxes` int32 [N, 4], xyxy, half-open; `colors` float32 [N, 75] and `textures`
    float32 [N, 240], histograms whose bins add up to 1.
    """

    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    colors: FloatArray
    textures: FloatArray


def texture_codes(image: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the texture of an image [H, W, 3]: codes [channel, axis, H, W], and the bins of zero [channel, axis, 2].

    The four axes are horizontal, vertical and the two diagonals; an axis has two directions. A derivative above zero
    belongs to the first direction, and its code is its bin, 0-9. Any other belongs to the second direction, and its
    code is its bin plus 10. In the other direction a derivative counts as zero, whose bin the second array gives. The
    bins of a channel span the derivatives of the whole image.
    """
    channels = image.shape[2]
    codes = np.empty((channels, 4, *image.shape[:2]), np.uint8)
    zeros = np.empty((channels, 4, 2), np.uint8)
    for axis, derivatives in enumerate(_derivatives(image)):
        for channel, derivative in enumerate(cv2.split(derivatives)):
            least, most, *_ = cv2.minMaxLoc(derivative)
            scales = [_to_byte(max(least, 0), max(most, 0)), _to_byte(min(least, 0), min(most, 0))]
            zeros[channel, axis] = _encode(
                np.asarray(derivative, np.float32), np.array(scales, np.float32), codes[channel, axis]
            )
    return codes, zeros


def region_features(
    labels: NDArray[np.int32], image: Image, codes: NDArray[np.uint8], zeros: NDArray[np.uint8]
) -> RegionFeatures:
    """Return the features of the superpixels `labels` [H, W] of an image [H, W, 3] with its `texture_codes`."""
    count = int(labels.max()) + 1
    height, width = labels.shape
    boxes = np.tile(np.array([width, height, 0, 0], np.int32), (count, 1))
    colors = np.zeros((count, 3, COLOR_BINS), np.int32)
    textures = np.zeros((count, 3, 4, 2 * TEXTURE_BINS), np.int32)
    _count_bins(labels, image, codes, boxes, colors, textures)
    sizes = colors[:, 0].sum(axis=1, dtype=np.int32)
    total = sizes[:, None].astype(np.float32)
    colors = colors.reshape(count, -1).astype(np.float32) / (total * 3)
    return RegionFeatures(sizes, boxes, colors, _by_direction(textures, zeros).astype(np.float32) / (total * 24))


def neighbour_pairs(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the pairs of superpixels of `labels` [H, W] that touch: int32 [P, 2], lower label first, ascending.

    As in OpenCV, a pixel that is neither in the first row nor in the first column touches the pixels to its left, above
    it, and above to its left; so an image that is one pixel wide has no pairs.
    """
    count = int(labels.max()) + 1
    # Pixels and their three neighbours make a planar graph, and so do the superpixels: there are less than three pairs
    # for each superpixel, so the hash table stays half empty.
    table = np.full(1 << max(3, (8 * count - 1).bit_length()), -1, np.int64)
    _find_pairs(labels, count, table)
    keys = np.sort(table[table >= 0])
    return np.stack([keys // count, keys % count], axis=1).astype(np.int32)


def _derivatives(image: Image) -> Iterator[FloatArray]:
    """Yield the derivatives along each of the four axes, float32 [H, W, C]."""
    for direction in ((1, 0), (0, 1)):
        yield np.asarray(cv2.Scharr(image, cv2.CV_32F, *direction), np.float32)
    height, width = image.shape[:2]
    center = width / 2, height / 2
    corners = cv2.boxPoints((center, (width, height), 45.0))
    turned_width, turned_height = np.ceil(corners.max(axis=0)) - np.floor(corners.min(axis=0)) + 1
    turn = cv2.getRotationMatrix2D(center, 45.0, 1.0)
    turn[:, 2] += turned_width / 2 - center[0], turned_height / 2 - center[1]
    turned = cv2.warpAffine(image, turn, (int(turned_width), int(turned_height)))
    # On the way back, OpenCV turns about a whole pixel and then cuts out the image, a very narrow one off the middle.
    back = cv2.getRotationMatrix2D((turned_width // 2, turned_height // 2), -45.0, 1.0)
    back[:, 2] -= max(0, (turned_width - width) // 2), max(0, (turned_height - height) // 2)
    for direction in ((1, 0), (0, 1)):
        derivatives = cv2.Scharr(turned, cv2.CV_32F, *direction)
        yield np.asarray(cv2.warpAffine(derivatives, back, (width, height)), np.float32)


def _to_byte(least: float, most: float) -> tuple[float, float]:
    """Return the scale and shift that map a range to 0-255; a range of one value is mapped to 0."""
    return (255 / (most - least), -255 * least / (most - least)) if most > least else (0.0, 0.0)


def _by_direction(textures: NDArray[np.int32], zeros: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Turn counts of codes [N, channel, axis, code] into histograms of the directions [N, 240]."""
    count, channels, axes, _ = textures.shape
    directions = textures.reshape(count, channels, axes, 2, TEXTURE_BINS).copy()
    zero_counts = directions.sum(axis=-1)[..., ::-1]  # the pixels whose derivative belongs to the other direction
    for direction in np.ndindex(zeros.shape):
        directions[(slice(None), *direction, zeros[direction])] += zero_counts[(slice(None), *direction)]
    return directions.reshape(count, -1)


@compiled
def _encode(derivative: FloatArray, scales: FloatArray, codes: NDArray[np.uint8]) -> tuple[np.uint8, np.uint8]:
    """Write the codes of a derivative, and return the bin of zero in each direction.

    Args:
        derivative: float32 [H, W].
        scales: float32 [2, 2], the scale and shift of each direction.
        codes: [H, W], written.
    """
    for y in range(derivative.shape[0]):
        for x in range(derivative.shape[1]):
            value = derivative[y, x]
            above, below = _bin(value, scales[0, 0], scales[0, 1]), _bin(value, scales[1, 0], scales[1, 1])
            codes[y, x] = above if value > 0 else TEXTURE_BINS + below
    zero = np.float32(0)
    return _bin(zero, scales[0, 0], scales[0, 1]), _bin(zero, scales[1, 0], scales[1, 1])


@compiled_part
def _bin(value: np.float32, scale: np.float32, shift: np.float32) -> np.uint8:
    """Return the bin of a derivative. OpenCV rounds it to a byte first, halves to even."""
    byte = np.rint(value * scale + shift)
    return np.uint8(min(max(byte, np.float32(0)), np.float32(255)) / np.float32(256 / TEXTURE_BINS))


@compiled
def _count_bins(  # noqa: PLR0917  compiled functions take no keywords
    labels: NDArray[np.int32],
    image: Image,
    codes: NDArray[np.uint8],
    boxes: NDArray[np.int32],
    colors: NDArray[np.int32],
    textures: NDArray[np.int32],
) -> None:
    """Extend the box of each region to its pixels, and count them.

    `colors` counts by colour [N, channel, bin], and `textures` by texture [N, channel, axis, code].
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            region = labels[y, x]
            boxes[region, 0] = min(boxes[region, 0], x)
            boxes[region, 1] = min(boxes[region, 1], y)
            boxes[region, 2] = max(boxes[region, 2], x + 1)
            boxes[region, 3] = max(boxes[region, 3], y + 1)
            for channel in range(3):
                colors[region, channel, image[y, x, channel] * COLOR_BINS >> 8] += 1
                for axis in range(4):
                    textures[region, channel, axis, codes[channel, axis, y, x]] += 1


@compiled
def _find_pairs(labels: NDArray[np.int32], count: int, table: NDArray[np.int64]) -> None:
    """Write `lower label * count + upper label` of each pair that touches into a hash table, once each.

    The table has open addressing; a power of two of slots, which are -1 if they are empty.
    """
    for y in range(1, labels.shape[0]):
        for x in range(1, labels.shape[1]):
            label = np.int64(labels[y, x])
            for other in (labels[y, x - 1], labels[y - 1, x], labels[y - 1, x - 1]):
                if other == label:
                    continue
                key = other * count + label if other < label else label * count + other
                slot = (key * 0x9E3779B1 >> 16) & (len(table) - 1)
                while table[slot] != key:
                    if table[slot] < 0:
                        table[slot] = key
                        break
                    slot = (slot + 1) & (len(table) - 1)
