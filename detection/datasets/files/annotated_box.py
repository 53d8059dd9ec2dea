"""The checks that every annotated box has to pass, whatever its file format."""

from __future__ import annotations

from math import isfinite

from detection.errors import InputError

Corners = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels, half-open."""

OVERHANG = 1.0
"""Pixels by which a box may stick out of its image, to be clipped (our choice). COCO's boxes do by fractions, and
VOC-style XML by one where a tool counted from 0."""


def check_box(corners: Corners, size: tuple[int, int], *, stated: str) -> Corners:
    """The box, clipped to the image of `size` (height, width).

    Args:
        corners: as converted from the file.
        size: of the image, in pixels.
        stated: the numbers as they stand in the file, for the message.

    Raises:
        InputError: without a place, if a number is not finite, the width or height is not above 0, or the box sticks
            out of the image by more than `OVERHANG`.
    """
    if not all(map(isfinite, corners)):
        raise InputError(f"expected finite numbers, got {stated}")
    x1, y1, x2, y2 = corners
    if not (x1 < x2 and y1 < y2):
        raise InputError(f"expected a box with a width and height above 0, got {stated}")
    height, width = size
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    overhang = max(abs(before - after) for before, after in zip(corners, clipped, strict=True))
    if overhang > OVERHANG or clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise InputError(f"expected a box within the image of {width}x{height} px, got {stated}")
    return clipped
