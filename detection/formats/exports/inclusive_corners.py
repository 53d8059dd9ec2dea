"""Corners as PASCAL VOC counts them, for the writers of its XML and of tables."""

import numpy as np

from detection.structures.arrays import FloatArray

DIGITS = 3
"""The number of digits behind the point, a thousandth of a pixel."""


def inclusive_corners(boxes: FloatArray) -> list[list[float]]:
    """Return xmin, ymin, xmax and ymax of boxes [N, 4]: pixels count from 1, and the last one belongs to the box.

    Whole numbers are of type int, since some programs do not read others.
    """
    corners = boxes.astype(float) + np.array([1, 1, 0, 0])
    rows = corners.round(DIGITS).tolist()
    return [[int(corner) if corner.is_integer() else corner for corner in row] for row in rows]
