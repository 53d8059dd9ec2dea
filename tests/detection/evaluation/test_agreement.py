"""Detections of one detector are sought among those of another."""

from __future__ import annotations

import numpy as np

from detection.evaluation.agreement import agreement
from detection.structures.split_columns import SplitDetections, split_index

INDEX = split_index(["a", "b"], ["cat", "dog"])

Row = tuple[int, int, float, float]
"""Image, class, x of the left side, and score; all boxes have 95x10 pixels."""


def detections(*rows: Row) -> SplitDetections:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    images, labels = (np.array(column, np.int64) for column in columns[:2])
    boxes = np.array([(x, 0, 95, 10) for x in columns[2]], np.float64).reshape(-1, 4)
    return SplitDetections(INDEX, images, labels, boxes, np.array(columns[3], np.float64))


def test_by_hand() -> None:
    first = detections((0, 0, 0, 0.9), (0, 1, 0, 0.8), (1, 0, 0, 0.7), (1, 0, 50, 0.6), (1, 1, 0, 0.1))
    second = detections(
        (0, 0, 5, 0.5),  # IoU of 90 / 100 with the first
        (0, 0, 1, 0.85),  # IoU of 94 / 96, so this one counts
        (0, 0, 4, 0.2),
        (1, 1, 0, 0.8),  # the class of the second in another image
        (1, 0, 0, 0.1),  # below the score from which detections are sought, which does not matter here
        (1, 0, 56, 0.6),  # IoU of 89 / 101, which is too little
    )
    total, differences = agreement(first, second, least_score=0.6)
    assert total == 4
    np.testing.assert_allclose(differences, [0.05, 0.6])


def test_boundary() -> None:
    for shift, count in ((5, 1), (6, 0)):  # IoUs of 90 / 100 and 89 / 101
        first, second = detections((0, 0, 0, 0.5)), detections((0, 0, shift, 0.5))
        assert len(agreement(first, second, least_score=0.5).score_differences) == count


def test_nothing() -> None:
    for first, second in ((detections(), detections((0, 0, 0, 0.5))), (detections((0, 0, 0, 0.5)), detections())):
        total, differences = agreement(first, second, least_score=0.1)
        assert (total, len(differences)) == (len(first), 0)
