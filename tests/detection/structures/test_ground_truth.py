from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.structures.arrays import BoolArray
from detection.structures.ground_truth import GroundTruth

BOXES = np.array([[0, 0, 4, 4], [1, 2, 3, 9]], np.float32)


def ground_truth(ignored: BoolArray) -> GroundTruth:
    return GroundTruth("a", Path("a.jpg"), BOXES, np.array([0, 1]), ignored)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_object_is_ignored_unless_said(count: int) -> None:
    truth = GroundTruth("a", Path("a.jpg"), BOXES[:count], np.zeros(count, np.int64))
    assert truth.ignored.dtype == np.bool_
    assert truth.ignored.tolist() == [False] * count


def test_ignored_objects_are_kept_through_replace() -> None:
    truth = ground_truth(np.array([True, False]))
    assert replace(truth, image_id="b").ignored.tolist() == [True, False]
    # The default belongs to each record: another number of objects does not inherit it.
    with pytest.raises(ValueError, match=r"image a: ignored must have shape \[1\], one for each box, got \[2\]"):
        replace(truth, boxes=BOXES[:1], labels=np.array([0]))


def test_fractional_labels() -> None:
    with pytest.raises(ValueError, match=r"^ground truth of image a: labels must be integers, got float64$"):
        GroundTruth("a", Path("a.jpg"), BOXES, [0, 1.5])  # type: ignore[arg-type]


@pytest.mark.parametrize("ignored", [np.zeros(0, np.bool_), np.zeros(3, np.bool_), np.zeros((2, 1), np.bool_)])
def test_ignored_of_another_shape(ignored: BoolArray) -> None:
    with pytest.raises(ValueError, match=r"^ground truth of image a: ignored must have shape \[2\], one for each"):
        ground_truth(ignored)


def test_ignored_must_be_a_mask() -> None:
    # As an index, 0 and 1 would pick the first two objects instead of masking.
    with pytest.raises(ValueError, match=r"^ground truth of image a: ignored must be bool, got int64$"):
        ground_truth(np.array([0, 1], np.int64))
