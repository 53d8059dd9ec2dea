"""A table of detections that is put together from parts, as readers come to them."""

from __future__ import annotations

import numpy as np

from detection.structures.arrays import IntArray
from detection.structures.split_columns import Columns, SplitDetections, SplitIndex


class TableParts:
    """Columns of detections, appended to each other; `join` makes the table of them."""

    def __init__(self, index: SplitIndex) -> None:
        self.index = index
        self._parts: list[tuple[IntArray, IntArray, Columns, Columns]] = [
            (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
        ]

    def add(self, images: IntArray, labels: IntArray, boxes_xywh: Columns, scores: Columns) -> None:
        """Append rows; see `SplitDetections` for the columns."""
        self._parts.append((images, labels, boxes_xywh, scores))

    def join(self) -> SplitDetections:
        """The table of all rows."""
        columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        return SplitDetections(self.index, *columns)
