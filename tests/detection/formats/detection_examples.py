"""A split and detections of its images, for tests of the file formats."""

from __future__ import annotations

from typing import Any

import numpy as np

from detection.structures.split_columns import SplitDetections, SplitObjects, split_index


def ground_truth(image_ids: tuple[str, ...] = ("000012", "000003", "empty")) -> SplitObjects:
    """Return a split without objects, which the formats of detections do not need."""
    nothing = np.zeros(0, np.int64)
    index = split_index(
        image_ids,
        ("cat", "baby bed"),
        file_names=[f"images/{name}.jpg" for name in image_ids],
        sizes=[(100, 200)] * len(image_ids),
        list_numbers=[7, 5, 6][: len(image_ids)],
        coco_image_ids=[12, 3, 40][: len(image_ids)],
        category_ids=[3, 90],
    )
    return SplitObjects(
        index, nothing, nothing, np.zeros((0, 4)), nothing.astype(bool), nothing.astype(bool), np.zeros(0)
    )


def example_detections(truth: SplitObjects) -> SplitDetections:
    return SplitDetections(
        truth.index,
        np.array([1, 0, 1, 0]),
        np.array([1, 0, 0, 1]),
        np.array([[10, 20, 30, 40], [0, 0, 199.5, 100], [1.25, 2.5, 3, 4.75], [5, 5, 0, 0]]),
        np.array([0.5, 0.123456789, 1, 0]),
    )


def rows_of(table: SplitDetections) -> list[Any]:
    """Return sorted rows, as formats group detections by image or class."""
    columns = (table.images, table.labels, table.scores, *table.boxes_xywh.T)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))
