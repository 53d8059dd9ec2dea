"""Annotated objects as the readers of all file formats produce them, and the check of their boxes."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from detection.errors import InputError, shorten
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes

Corners = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels, half-open."""

CORNERS = ("xmin", "ymin", "xmax", "ymax")
"""The names of the corners in XML of PASCAL VOC and in tables, which count pixels from 1 and include the last one."""

MAX_OVERHANG = 1.0
"""Boxes may extend beyond their image by this number of pixels, and are clipped (our choice). Boxes of COCO do so by
fractions, and VOC-style XML by 1 where a tool counted pixels from 0."""


class AnnotatedObject(NamedTuple):
    """An object of an image; `ignored` objects count neither as found nor as missed."""

    box: Corners
    label: int
    ignored: bool


def object_arrays(objects: Sequence[AnnotatedObject]) -> tuple[FloatArray, IntArray, BoolArray]:
    """Return the boxes [M, 4], labels [M] and flags `ignored` [M] of M objects."""
    return (
        as_boxes([item.box for item in objects]),
        np.array([item.label for item in objects], np.int64),
        np.array([item.ignored for item in objects], np.bool_),
    )


def read_inclusive_box(texts: Sequence[str], size: tuple[int, int]) -> Corners:
    """Return the box, half-open and clipped to an image of `size` (height, width), for the texts of its `CORNERS`.

    Raises:
        InputError: if the texts are no numbers, or in the cases of `check_box`. The message does not name the file.
    """
    stated = state_corners(texts)
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        raise InputError(f"expected four numbers, got {shorten(stated)}") from None
    return check_box((x1 - 1, y1 - 1, x2, y2), size, stated=stated)  # pixel n covers n - 1 to n


def state_corners(texts: Sequence[str]) -> str:
    """Return the texts of the `CORNERS` with their names, for error messages."""
    return " ".join(f"{corner}={text}" for corner, text in zip(CORNERS, texts, strict=True))


def check_box(corners: Corners, size: tuple[int, int], *, stated: str) -> Corners:
    """Return the box, clipped to the image.

    Args:
        corners: the box, converted from the file.
        size: height and width of the image in pixels.
        stated: the numbers of the box as they stand in the file, for the error message.

    Raises:
        InputError: if a number is not finite, the width or height is not above 0, or the box extends beyond the image
            by more than `MAX_OVERHANG`. The message does not name the file: see `Faults.at`.
    """
    stated = shorten(stated)
    if not all(map(_is_finite, corners)):
        raise InputError(f"expected finite numbers, got {stated}")
    x1, y1, x2, y2 = corners
    if not (x1 < x2 and y1 < y2):
        raise InputError(f"expected a box with a width and height above 0, got {stated}")
    height, width = size
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    overhang = max(abs(before - after) for before, after in zip(corners, clipped, strict=True))
    if overhang > MAX_OVERHANG or clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise InputError(f"expected a box within the image of {width}x{height} px, got {stated}")
    return clipped


def _is_finite(number: float) -> bool:
    """Return True if a number is finite; a whole number that float64 cannot hold is not."""
    try:
        return isfinite(number)
    except OverflowError:
        return False
