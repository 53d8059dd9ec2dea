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


# The loops below read rows of an image or of its integral image as flat arrays, in which the three colours of a pixel
# follow each other. Loops over such rows, with nothing else inside, are what LLVM turns into vector instructions.


@compiled
def _sums_for(image: Image, windows: Array, size: int) -> Array:
    """The integral image, float64 [H + 1, (W + 1) * 3], or an empty array if all windows [N, 4] are enlarged."""
    for left, top, right, bottom in windows:
        if right - left >= size or bottom - top >= size:
            return _integrate(image)
    return np.empty((0, 0))


@compiled
def _integrate(image: Image) -> Array:
    """The sums of the pixels above and left of each corner of a pixel: [H + 1, (W + 1) * 3], zeros first."""
    height, width = image.shape[:2]
    sums = np.zeros((height + 1, (width + 1) * 3))
    row_sums = np.zeros((width + 1) * 3)
    for y in range(height):
        red, green, blue = 0, 0, 0
        for x in range(width):
            red += image[y, x, 0]
            green += image[y, x, 1]
            blue += image[y, x, 2]
            row_sums[3 * x + 3] = red
            row_sums[3 * x + 4] = green
            row_sums[3 * x + 5] = blue
        above, below = sums[y], sums[y + 1]
        for place in range(len(row_sums)):
            below[place] = above[place] + row_sums[place]
    return sums


@compiled
def _warp_each(mean: Array, images: Images, windows: Array, output: FloatArray) -> None:
    """Warp the windows [B, N, 4] of several images [B, H, W, 3] into the output [B, N, S, S, 3]."""
    for row in range(len(images)):
        sums = _sums_for(images[row], windows[row], output.shape[2])
        _warp(images[row], sums, mean, windows[row], output[row])


@compiled
def _warp(image: Image, sums: Array, mean: Array, windows: Array, output: FloatArray) -> None:
    """Warp the windows [N, 4] of an image into the output [N, S, S, 3]."""
    size = output.shape[1]
    rows = image.reshape(len(image), -1)
    for region in range(len(windows)):
        left, top, right, bottom = windows[region]
        values = output[region].reshape(size, -1)
        if right - left < size and bottom - top < size:
            _interpolate(rows, windows[region], mean, values)
        else:
            _average(sums, windows[region], mean, values)


@compiled
def _warp_to_bytes(  # noqa: PLR0917  compiled functions take no keywords
    image: Image, sums: Array, mean: Array, scale: float, zero: int, windows: Array, output: Image
) -> None:
    """Warp as `_warp` does, and write the nearest bytes to value / `scale` + `zero`."""
    values = np.empty((1, *output.shape[1:]), np.float32)
    source = values.ravel()
    factor, offset = np.float32(1 / scale), np.float32(zero)
    least, most, half = np.float32(0), np.float32(255), np.float32(0.5)
    for region in range(len(windows)):
        _warp(image, sums, mean, windows[region : region + 1], values)
        target = output[region].ravel()
        for place in range(len(source)):
            target[place] = np.uint8(min(max(source[place] * factor + offset, least), most) + half)


@compiled
def _taps(low: float, high: float, size: int, length: int) -> tuple[IntArray, FloatArray]:
    """The two pixels next to the centre of each output pixel, and their weights: [2, S] each.

    A pixel outside of the image has weight 0.
    """
    pixels, weights = np.empty((2, size), np.int64), np.empty((2, size), np.float32)
    for place in range(size):
        centre = low + (high - low) * ((place + 0.5) / size) - 0.5
        first = int(np.floor(centre))
        for tap in range(2):
            pixel = first + tap
            weights[tap, place] = (1 - abs(centre - pixel)) if 0 <= pixel < length else 0.0
            pixels[tap, place] = min(max(pixel, 0), length - 1)
    return pixels, weights


@compiled
def _interpolate(image: Image, window: Array, mean: Array, output: FloatArray) -> None:
    """Write bilinear samples of the image [H, W * 3] at the centres of the output pixels to `output` [S, S * 3]."""
    size = len(output)
    columns, horizontal = _taps(window[0], window[2], size, image.shape[1] // 3)
    rows, vertical = _taps(window[1], window[3], size, len(image))
    first, end = 3 * columns.min(), 3 * columns.max() + 3
    left, right = 3 * columns[0] - first, 3 * columns[1] - first
    before, after = horizontal
    hidden = _mean_under(before + after, mean)
    line = np.empty(end - first, np.float32)  # the columns of the window, each blended from two rows
    for y in range(size):
        upper, lower = image[rows[0, y], first:end], image[rows[1, y], first:end]
        above, below = vertical[0, y], vertical[1, y]
        for place in range(len(line)):
            line[place] = above * upper[place] + below * lower[place]
        values, covered = output[y], above + below
        for x in range(size):
            for colour in range(3):
                value = before[x] * line[left[x] + colour] + after[x] * line[right[x] + colour]
                values[3 * x + colour] = value - covered * hidden[3 * x + colour]


@compiled
def _mean_under(covered: NDArray[np.floating[Any]], mean: Array) -> NDArray[np.floating[Any]]:
    """The mean colour times the share of each output pixel of a row [S] that is within the image: [S * 3]."""
    hidden = np.empty(3 * len(covered), covered.dtype)
    for x in range(len(covered)):
        for colour in range(3):
            hidden[3 * x + colour] = covered[x] * mean[colour]
    return hidden


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
def _sum_above(sums: Array, rows: Edges, row_edge: int, columns: Edges, result: Array) -> None:
    """Write the sums of the pixels above a row edge and left of each of E column edges to `result` [E * 3]."""
    first, end = 3 * columns.pixels.min(), 3 * columns.pixels.max() + 6
    row, row_share = rows.pixels[row_edge], rows.shares[row_edge]
    upper, lower = sums[row, first:end], sums[row + 1, first:end]
    line = np.empty(end - first)
    for place in range(len(line)):
        line[place] = upper[place] + row_share * (lower[place] - upper[place])
    for edge in range(len(columns.pixels)):
        place, share = 3 * columns.pixels[edge] - first, columns.shares[edge]
        for colour in range(3):
            before, after = line[place + colour], line[place + 3 + colour]
            result[3 * edge + colour] = before + share * (after - before)


@compiled
def _average(sums: Array, window: Array, mean: Array, output: FloatArray) -> None:
    """Write the means over the footprints of the output pixels to `output` [S, S * 3].

    `sums` is the integral image. Parts of a footprint that lie outside of the image have the mean colour.
    """
    size = len(output)
    columns = _edges(window[0], window[2], size, sums.shape[1] // 3 - 1)
    rows = _edges(window[1], window[3], size, len(sums) - 1)
    step_x, step_y = len(columns.pixels) - size, len(rows.pixels) - size
    footprint = max((window[2] - window[0]) / size, 1.0) * max((window[3] - window[1]) / size, 1.0)
    share, hidden = 1 / footprint, _mean_under(columns.covered, mean)
    upper, lower = np.empty(3 * len(columns.pixels)), np.empty(3 * len(columns.pixels))
    for y in range(size):
        if y == 0 or step_y > 1:
            _sum_above(sums, rows, y, columns, upper)
        _sum_above(sums, rows, y + step_y, columns, lower)
        upper_end, lower_end = upper[3 * step_x :], lower[3 * step_x :]
        values, covered = output[y], rows.covered[y]
        for place in range(len(values)):
            total = lower_end[place] - lower[place] - upper_end[place] + upper[place]
            values[place] = total * share - covered * hidden[place]
        upper, lower = lower, upper
