"""Warp regions on a CPU in compiled loops and threads.

This module must not import PyTorch: a second process that starts fast may run it (`detection.runtime.second_process`).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image, IntArray

Array = NDArray[np.float64]
Images = NDArray[np.uint8]

CHUNK = 32
"""Number of regions that a thread takes at once."""


class Edges(NamedTuple):
    """Edges of the footprints of S output pixels along an axis.

    If footprints touch, there are S + 1 edges, each an end and the next start; otherwise there are S starts and then S
    ends.

    Attributes:
        pixels: [E] number of whole pixels before each edge.
        shares: [E] share of the next pixel that is before the edge.
        covered: [S] share of each footprint that is within the image.
    """

    pixels: IntArray
    shares: Array
    covered: Array


def warp(
    images: Images, windows: Array, size: int, mean: tuple[float, float, float], *, threads: int
) -> NDArray[np.float32]:
    """Means over the footprints of output pixels, minus `mean`; see `classifier.warp.warp_regions`.

    Args:
        images: [B, H, W, 3] uint8.
        windows: [B, N, 4] float64 xyxy in pixels of the images.
        size: side S of the output.
        mean: RGB, 0-255.
        threads: number of threads that the regions are divided among.

    Returns:
        [B, N, S, S, 3] float32.
    """
    output = np.empty((*windows.shape[:2], size, size, 3), np.float32)
    colour = np.array(mean)
    if len(images) == 1:
        loop = partial(_warp, images[0], _sums_for(images[0], windows[0], size), colour)
        _in_threads(threads, loop, windows[0], output[0])
    else:
        _in_threads(threads, partial(_warp_each, colour), images, windows, output)
    return output


def warp_to_bytes(
    image: Image, windows: Array, size: int, mean: tuple[float, float, float], *, scale: float, zero: int, threads: int
) -> NDArray[np.uint8]:
    """The result of `warp` for one image, as the bytes that a network in int8 reads; see `QuantisedInput`.

    Args:
        image: [H, W, 3] uint8.
        windows: [N, 4] float64 xyxy in pixels of the image.
        size: side S of the output.
        mean: RGB, 0-255.
        scale: difference between two neighbouring bytes, in pixel values of 0-255.
        zero: the byte that stands for the mean.
        threads: number of threads that the regions are divided among.

    Returns:
        [N, S, S, 3] uint8.
    """
    output = np.empty((len(windows), size, size, 3), np.uint8)
    sums = _sums_for(image, windows, size)
    _in_threads(threads, partial(_warp_to_bytes, image, sums, np.array(mean), scale, zero), windows, output)
    return output


def load() -> None:
    """Load or compile the machine code before it is needed; the second process calls this when it starts."""
    image, windows = np.zeros((1, 2, 2, 3), np.uint8), np.array([[[0.0, 0.0, 2.0, 2.0]]])
    warp(image, windows, 1, (0.0, 0.0, 0.0), threads=1)
    warp_to_bytes(image[0], windows[0], 1, (0.0, 0.0, 0.0), scale=1.0, zero=0, threads=1)


def _in_threads(threads: int, loop: Callable[..., None], *arrays: NDArray[Any]) -> None:
    """Call a loop in threads, each time on a chunk of the rows of all arrays."""
    chunks = [slice(start, start + CHUNK) for start in range(0, len(arrays[0]), CHUNK)]
    with ThreadPoolExecutor(threads) as pool:
        parts = ([array[chunk] for chunk in chunks] for array in arrays)
        list(pool.map(loop, *parts))  # waits, and raises what a thread raised


@compiled
def _sums_for(image: Image, windows: Array, size: int) -> Array:
    """The integral image, float64 [H + 1, W + 1, 3], or an empty array if all windows [N, 4] are enlarged."""
    height, width = image.shape[:2]
    for left, top, right, bottom in windows:
        if right - left >= size or bottom - top >= size:
            sums = np.zeros((height + 1, width + 1, 3))
            _integrate(image, sums)
            return sums
    return np.empty((0, 0, 3))


@compiled
def _warp_each(mean: Array, images: Images, windows: Array, output: FloatArray) -> None:
    """Warp the windows [B, N, 4] of several images [B, H, W, 3] into the output [B, N, S, S, 3]."""
    for row in range(len(images)):
        sums = _sums_for(images[row], windows[row], output.shape[2])
        _warp(images[row], sums, mean, windows[row], output[row])


@compiled
def _integrate(image: Image, sums: Array) -> None:
    """Write the sums of the pixels above and left of each pixel corner to `sums`, whose first row and column are 0."""
    height, width = image.shape[:2]
    for y in range(height):
        red, green, blue = 0, 0, 0
        for x in range(width):
            red += image[y, x, 0]
            green += image[y, x, 1]
            blue += image[y, x, 2]
            sums[y + 1, x + 1, 0] = sums[y, x + 1, 0] + red
            sums[y + 1, x + 1, 1] = sums[y, x + 1, 1] + green
            sums[y + 1, x + 1, 2] = sums[y, x + 1, 2] + blue


@compiled
def _warp(image: Image, sums: Array, mean: Array, windows: Array, output: FloatArray) -> None:
    """Warp the windows [N, 4] of an image into the output [N, S, S, 3]."""
    size = output.shape[1]
    for region in range(len(windows)):
        left, top, right, bottom = windows[region]
        if right - left < size and bottom - top < size:
            _interpolate(image, windows[region], mean, output[region])
        else:
            _average(sums, windows[region], mean, output[region])


@compiled
def _warp_to_bytes(  # noqa: PLR0917  compiled functions take no keywords
    image: Image, sums: Array, mean: Array, scale: float, zero: int, windows: Array, output: Image
) -> None:
    """Warp as `_warp` does, and write the nearest bytes to value / `scale` + `zero`."""
    values = np.empty((1, *output.shape[1:]), np.float32)
    source = values.ravel()
    for region in range(len(windows)):
        _warp(image, sums, mean, windows[region : region + 1], values)
        target = output[region].ravel()
        for place in range(len(source)):
            target[place] = np.uint8(min(max(source[place] / scale + zero, 0.0), 255.0) + 0.5)


@compiled
def _taps(low: float, high: float, size: int, length: int) -> tuple[IntArray, Array]:
    """The two pixels next to the centre of each output pixel, and their weights: [S, 2] each.

    A pixel outside of the image has weight 0.
    """
    pixels, weights = np.empty((size, 2), np.int64), np.empty((size, 2))
    for place in range(size):
        centre = low + (high - low) * ((place + 0.5) / size) - 0.5
        first = int(np.floor(centre))
        for tap in range(2):
            pixel = first + tap
            weights[place, tap] = (1 - abs(centre - pixel)) if 0 <= pixel < length else 0.0
            pixels[place, tap] = min(max(pixel, 0), length - 1)
    return pixels, weights


@compiled
def _interpolate(image: Image, window: Array, mean: Array, output: FloatArray) -> None:
    """Write bilinear samples of the image at the centres of the output pixels."""
    size = len(output)
    columns, horizontal = _taps(window[0], window[2], size, image.shape[1])
    rows, vertical = _taps(window[1], window[3], size, image.shape[0])
    for y in range(size):
        upper, lower = rows[y]
        above, below = vertical[y]
        for x in range(size):
            left, right = columns[x]
            before, after = horizontal[x]
            covered = (above + below) * (before + after)
            for colour in range(3):
                upper_value = before * image[upper, left, colour] + after * image[upper, right, colour]
                lower_value = before * image[lower, left, colour] + after * image[lower, right, colour]
                output[y, x, colour] = above * upper_value + below * lower_value - covered * mean[colour]


@compiled
def _edges(low: float, high: float, size: int, length: int) -> Edges:
    """Edges of the footprints, at least one pixel wide, of `size` output pixels that divide low-high evenly."""
    shared = high - low >= size
    count = size + 1 if shared else 2 * size
    half = max((high - low) / size, 1.0) / 2
    pixels, shares, covered = np.empty(count, np.int64), np.empty(count), np.empty(size)
    places = np.empty(count)
    for edge in range(count):
        if shared:
            place = low + (high - low) * (edge / size)
        else:
            centre = low + (high - low) * ((edge % size + 0.5) / size)
            place = centre - half if edge < size else centre + half
        places[edge] = min(max(place, 0.0), float(length))
        pixels[edge] = min(max(int(places[edge]), 0), length - 1)  # so that nan reads nothing beyond the image
        shares[edge] = places[edge] - pixels[edge]
    step = 1 if shared else size
    for place in range(size):
        covered[place] = (places[place + step] - places[place]) / (2 * half)
    return Edges(pixels, shares, covered)


@compiled
def _sum_above(sums: Array, rows: Edges, row_edge: int, columns: Edges, line: Array) -> None:
    """Write the sums of the pixels above a row edge and left of each of E column edges to `line` [E, 3]."""
    row, row_share = rows.pixels[row_edge], rows.shares[row_edge]
    for edge in range(len(columns.pixels)):
        column, share = columns.pixels[edge], columns.shares[edge]
        for colour in range(3):
            first, second = sums[row, column, colour], sums[row + 1, column, colour]
            first += share * (sums[row, column + 1, colour] - first)
            second += share * (sums[row + 1, column + 1, colour] - second)
            line[edge, colour] = first + row_share * (second - first)


@compiled
def _average(sums: Array, window: Array, mean: Array, output: FloatArray) -> None:
    """Write the means over the footprints of the output pixels; outside of the image is the mean colour."""
    size = len(output)
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    columns = _edges(window[0], window[2], size, width)
    rows = _edges(window[1], window[3], size, height)
    step_x, step_y = len(columns.pixels) - size, len(rows.pixels) - size
    area = max((window[2] - window[0]) / size, 1.0) * max((window[3] - window[1]) / size, 1.0)
    upper, lower = np.empty((len(columns.pixels), 3)), np.empty((len(columns.pixels), 3))
    for y in range(size):
        if y == 0 or step_y > 1:
            _sum_above(sums, rows, y, columns, upper)
        _sum_above(sums, rows, y + step_y, columns, lower)
        for x in range(size):
            covered = rows.covered[y] * columns.covered[x]
            for colour in range(3):
                total = lower[x + step_x, colour] - lower[x, colour] - upper[x + step_x, colour] + upper[x, colour]
                output[y, x, colour] = total / area - covered * mean[colour]
        upper, lower = lower, upper
