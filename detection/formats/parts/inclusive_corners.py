"""Corners `xmin ymin xmax ymax` of whole pixels, counted from 1, as PASCAL VOC and ILSVRC write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.structures.split_columns import Columns


def from_inclusive(corners: NDArray[np.float64]) -> Columns:
    """x, y, width, height of corners: [N, 4] -> [N, 4]. Pixel n covers n - 1 to n, so a width is xmax - xmin + 1."""
    return np.hstack([corners[:, :2] - 1, corners[:, 2:] - corners[:, :2] + 1])


def to_inclusive(boxes_xywh: Columns) -> NDArray[np.float64]:
    """Corners of x, y, width, height: [N, 4] -> [N, 4]."""
    return np.hstack([boxes_xywh[:, :2] + 1, boxes_xywh[:, :2] + boxes_xywh[:, 2:]])
