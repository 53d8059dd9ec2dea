"""Warp regions on a CPU in compiled loops and threads.

NumPy computes which pixels each region needs, for all regions at once. The loops over the pixels are compiled. They are
few and allocate nothing, because each function that Numba compiles delays the first run on a machine.

This module must not import PyTorch: a second process that starts fast may run it (`detection.runtime.second_process`).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.compilation import compiled, compiled_part
from detection.structures.arrays import FloatArray, Image, IntArray

Array = NDArray[np.float64]
Images = NDArray[np.uint8]

CHUNK = 4
"""Number of regions that a thread takes at once, so few that their values stay in the cache of its core."""


class _Job(NamedTuple):
    """A compiled loop, which regions [R] it warps, and its arguments: `geometry` has arrays [R, ...].

    The loop also gets an array like `scratch` for its own use.
    """

    loop: Callable[..., None]
    source: NDArray[Any]
    scratch: NDArray[Any]
    regions: IntArray
    geometry: tuple[NDArray[Any], ...]

    def chunks(self) -> list[slice]:
        """Return the parts of the regions that a thread takes at once."""
        return [slice(start, start + CHUNK) for start in range(0, len(self.regions), CHUNK)]

    def run(self, chunk: slice, output: FloatArray, places: IntArray) -> None:
        """Warp the regions of a chunk into the output [N, S, S * 3], to these places."""
        rows = (array[chunk] for array in self.geometry)
        self.loop(self.source, np.empty_like(self.scratch), output, places, *rows)


def warp(
    images: Images, windows: Array, size: int, mean: tuple[float, float, float], *, threads: int
) -> NDArray[np.float32]:
    """Return the means over the footprints of output pixels, minus `mean`; see `classifier.warp.crop.warp_regions`.

    Args:
        images: [B, H, W, 3] uint8.
        windows: [B, N, 4] float64 xyxy in pixels of the images.
        size: side S of the output.
        mean: RGB, 0-255.
        threads: number of threads that the regions of an image are divided among.

    Returns:
        [B, N, S, S, 3] float32.
    """
    output = np.empty((*windows.shape[:2], size, 3 * size), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for image, image_windows, values in zip(images, windows, output, strict=True):
            for job in _jobs(image, image_windows, size, np.array(mean)):
                chunks = job.chunks()
                places = (job.regions[chunk] for chunk in chunks)
                list(pool.map(job.run, chunks, [values] * len(chunks), places))  # waits, and raises errors
    return output.reshape(*windows.shape[:2], size, size, 3)


def warp_to_bytes(
    image: Image, windows: Array, size: int, mean: tuple[float, float, float], *, scale: float, zero: int, threads: int
) -> NDArray[np.uint8]:
    """Return the result of `warp` for one image, as the bytes that a network in int8 reads; see `QuantisedInput`.

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
    output = np.empty((len(windows), size, 3 * size), np.uint8)
    factor, offset = np.float32(1 / scale), np.float32(zero)
    with ThreadPoolExecutor(threads) as pool:
        for job in _jobs(image, windows, size, np.array(mean)):

            def run(chunk: slice, job: _Job = job) -> None:
                places = job.regions[chunk]
                values = np.empty((len(places), size, 3 * size), np.float32)
                job.run(chunk, values, np.arange(len(places)))
                _quantise(values, factor, offset, places, output)

            list(pool.map(run, job.chunks()))
    return output.reshape(len(windows), size, size, 3)


def load() -> None:
    """Load or compile the machine code before it is needed; the second process calls this when it starts."""
    image, windows = np.zeros((4, 4, 3), np.uint8), np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 1.0, 1.0]])
    warp_to_bytes(image, windows, 2, (0.0, 0.0, 0.0), scale=1.0, zero=0, threads=1)


def _jobs(image: Image, windows: Array, size: int, mean: Array) -> Iterator[_Job]:
    """Yield the work on the windows [N, 4] that are enlarged in both directions, and on all others, if there are any.

    The loops read rows of an image or of its integral image as flat arrays, in which the three colours of a pixel
    follow each other. Loops over such rows, with nothing else inside, are what LLVM turns into vector instructions.
    """
    height, width = image.shape[:2]
    with np.errstate(all="ignore"):  # the coordinates of a window may be infinite or nan
        enlarged = (windows[:, 2:] - windows[:, :2] < size).all(axis=1)
        if enlarged.any():
            geometry = _taps(windows[enlarged], size, (width, height), mean)
            scratch = np.empty(3 * width, np.float32)
            yield _Job(_interpolate, image.reshape(height, -1), scratch, np.flatnonzero(enlarged), geometry)
        if not enlarged.all():
            geometry = _edges(windows[~enlarged], size, (width, height), mean)
            sums = np.asarray(cv2.integral(image, sdepth=cv2.CV_64F), np.float64).reshape(height + 1, -1)
            scratch = np.empty((3, max(3 * width + 3, 6 * size)))
            yield _Job(_average, sums, scratch, np.flatnonzero(~enlarged), geometry)


def _taps(windows: Array, size: int, lengths: tuple[int, int], mean: Array) -> tuple[NDArray[Any], ...]:
    """Return the last four arguments of `_interpolate` for windows [N, 4] of an image of these lengths (W, H)."""
    low, sides = windows[:, :2, None], (windows[:, 2:] - windows[:, :2])[:, :, None]
    limits = np.array(lengths)[:, None, None]
    centres = (low + sides * ((np.arange(size) + 0.5) / size) - 0.5)[:, :, None]
    nearest = np.floor(centres) + np.array([[0], [1]])
    inside = (nearest >= 0) & (nearest < limits)
    weights = np.where(inside, 1 - abs(centres - nearest), 0.0).astype(np.float32)
    pixels = np.fmin(np.fmax(nearest, 0), limits - 1).astype(np.int64)
    mean_part = ((weights[:, 0, 0] + weights[:, 0, 1])[:, :, None] * mean).astype(np.float32)
    return _spans(pixels), pixels, weights, mean_part.reshape(len(windows), -1)


def _edges(windows: Array, size: int, lengths: tuple[int, int], mean: Array) -> tuple[NDArray[Any], ...]:
    """Return the last seven arguments of `_average` for windows [N, 4] of an image of these lengths (W, H)."""
    low, sides = windows[:, :2, None], (windows[:, 2:] - windows[:, :2])[:, :, None]
    limits = np.array(lengths)[:, None]
    shared, footprints = sides >= size, np.fmax(sides / size, 1.0)
    edges = np.arange(size + 1 if shared.all() else 2 * size)
    fractions = np.where(shared, np.minimum(edges, size), edges % size + 0.5) / size
    margins = np.where(shared, 0.0, np.where(edges < size, -footprints / 2, footprints / 2))
    places = np.fmin(np.fmax(low + sides * fractions + margins, 0.0), limits)
    pixels = np.minimum(places.astype(np.int64), limits - 1)
    shares = places - pixels
    ends = np.where(shared, places[..., 1 : size + 1], places[..., -size:])
    covered = (ends - places[..., :size]) / footprints
    mean_part = (covered[:, 0, :, None] * mean).reshape(len(windows), -1)
    steps = np.where(shared, 1, size)[..., 0]
    return _spans(pixels), steps, pixels, shares, covered, mean_part, 1 / footprints.prod(axis=(1, 2))


def _spans(pixels: IntArray) -> IntArray:
    """Return the first value that is read in a row of an image, and that of the last pixel that is read: [N, 2].

    `pixels` [N, 2, ...] along x and y become places in that part of the row, whose pixels have three values each.
    """
    columns = pixels[:, 0]
    axes = tuple(range(1, columns.ndim))
    spans = 3 * np.stack([columns.min(axis=axes), columns.max(axis=axes)], axis=1)
    columns *= 3
    columns -= spans[:, 0].reshape(-1, *[1] * len(axes))
    return spans


@compiled
def _interpolate(  # noqa: PLR0917  compiled functions take no keywords
    image: Image,
    line: FloatArray,
    output: FloatArray,
    places: IntArray,
    spans: IntArray,
    pixels: IntArray,
    weights: FloatArray,
    mean_part: FloatArray,
) -> None:
    """Write bilinear samples at the centres of the output pixels to the rows `places` [R] of the output [N, S, S * 3].

    Args:
        image: [H, W * 3].
        line: [W * 3], overwritten by the columns of a window, each blended from two rows.
        output: written.
        places: the positions of the regions in the output.
        spans: [R, 2] the first value that is read of a row, and the first of the last pixel.
        pixels: [R, 2, 2, S] the two pixels next to each centre, along x (times 3, from the start of the span) and y.
        weights: [R, 2, 2, S] of these pixels; 0 outside of the image.
        mean_part: [R, S * 3] the mean colour times the weights along x.
    """
    size = output.shape[1]
    for region in range(len(places)):
        first, end = spans[region, 0], spans[region, 1] + 3
        left, right = pixels[region, 0, 0], pixels[region, 0, 1]
        before, after = weights[region, 0, 0], weights[region, 0, 1]
        for y in range(size):
            upper, lower = image[pixels[region, 1, 0, y], first:end], image[pixels[region, 1, 1, y], first:end]
            above, below = weights[region, 1, 0, y], weights[region, 1, 1, y]
            for place in range(end - first):
                line[place] = above * upper[place] + below * lower[place]
            values, covered = output[places[region], y], above + below
            for x in range(size):
                for colour in range(3):
                    value = before[x] * line[left[x] + colour] + after[x] * line[right[x] + colour]
                    values[3 * x + colour] = value - covered * mean_part[region, 3 * x + colour]


@compiled
def _average(  # noqa: PLR0917  compiled functions take no keywords
    sums: Array,
    lines: Array,
    output: FloatArray,
    places: IntArray,
    spans: IntArray,
    steps: IntArray,
    pixels: IntArray,
    shares: Array,
    covered: Array,
    mean_part: Array,
    factors: Array,
) -> None:
    """Write the means over the footprints of the output pixels to the rows `places` [R] of the output [N, S, S * 3].

    Parts of a footprint that lie outside of the image have the mean colour. If the footprints of a window touch along
    an axis, it has S + 1 edges there, each an end and the next start; otherwise it has S starts and then S ends.

    Args:
        sums: the integral image, [H + 1, (W + 1) * 3].
        lines: three lines for the use of this function, [3, (W + 1) * 3] or longer, and at least [3, 2 * S * 3].
        output: written.
        places: the positions of the regions in the output.
        spans: [R, 2] the first value that is read of a row of `sums`, and the first of the last pixel.
        steps: [R, 2] number of edges from a start to its end, along x and y: 1 or S.
        pixels: [R, 2, E] number of whole pixels before each edge, along x (times 3, from the start of the span) and y.
        shares: [R, 2, E] share of the next pixel that is before the edge.
        covered: [R, 2, S] share of each footprint that is within the image.
        mean_part: [R, S * 3] the mean colour times the share of each footprint that is within the image along x.
        factors: [R] from the sum over a footprint to the mean.
    """
    size = output.shape[1]
    for region in range(len(places)):
        step_x, step_y = steps[region, 0], steps[region, 1]
        columns, column_shares = pixels[region, 0, : size + step_x], shares[region, 0]
        line, upper, lower = lines[0], lines[1], lines[2]
        first, end = spans[region, 0], spans[region, 1] + 6
        for y in range(size):
            if y == 0 or step_y > 1:
                row, share = pixels[region, 1, y], shares[region, 1, y]
                _sum_above(sums[row, first:end], sums[row + 1, first:end], share, line, columns, column_shares, upper)
            row, share = pixels[region, 1, y + step_y], shares[region, 1, y + step_y]
            _sum_above(sums[row, first:end], sums[row + 1, first:end], share, line, columns, column_shares, lower)
            upper_end, lower_end = upper[3 * step_x :], lower[3 * step_x :]
            values, covered_y, factor = output[places[region], y], covered[region, 1, y], factors[region]
            for place in range(len(values)):
                total = lower_end[place] - lower[place] - upper_end[place] + upper[place]
                values[place] = total * factor - covered_y * mean_part[region, place]
            upper, lower = lower, upper


@compiled_part
def _sum_above(  # noqa: PLR0917  compiled functions take no keywords
    above: Array, below: Array, share: float, line: Array, columns: IntArray, column_shares: Array, result: Array
) -> None:
    """Write the sums of the pixels above a row edge and left of each of E column edges to `result` [E * 3].

    Args:
        above: the part of the last row of the integral image before the edge that the columns need.
        below: that of the row after it.
        share: the share of the row of pixels between them that is above the edge.
        line: overwritten.
        columns: [E] places in these rows.
        column_shares: [E] or more.
        result: written.
    """
    for place in range(len(above)):
        line[place] = above[place] + share * (below[place] - above[place])
    for edge in range(len(columns)):
        place = columns[edge]
        for colour in range(3):
            before, after = line[place + colour], line[place + 3 + colour]
            result[3 * edge + colour] = before + column_shares[edge] * (after - before)


@compiled
def _quantise(values: FloatArray, factor: np.float32, offset: np.float32, places: IntArray, output: Image) -> None:
    """Write the bytes nearest to `values` [R, S, S * 3] * factor + offset to the rows `places` of the output."""
    least, most, half = np.float32(0), np.float32(255), np.float32(0.5)
    for region in range(len(places)):
        for y in range(values.shape[1]):
            source, target = values[region, y], output[places[region], y]
            for place in range(len(source)):
                target[place] = np.uint8(min(max(source[place] * factor + offset, least), most) + half)
