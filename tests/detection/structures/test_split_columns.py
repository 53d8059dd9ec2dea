from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import (
    SplitDetections,
    SplitIndex,
    SplitObjects,
    corners_to_xywh,
    drop_blacklisted,
    select_images,
    split_detections,
    split_index,
    split_objects,
    xywh_to_corners,
)

NAMES = ("cat", "dog")


def records() -> list[GroundTruth]:
    """Images "a" with two objects, of which the second is ignored, "b" without any and "c" with one."""
    boxes = np.array([[0, 0, 10, 20], [5, 6, 8, 7]], np.float32)
    return [
        GroundTruth("a", Path("a.jpg"), boxes, np.array([0, 1]), np.array([False, True])),
        GroundTruth("b", Path("b.jpg"), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)),
        GroundTruth("c", Path("c.jpg"), boxes[:1], np.array([1])),
    ]


def found() -> dict[str, Detections]:
    boxes, scores = np.array([[1, 2, 3, 5]], np.float32), np.array([0.1], np.float32)
    item = Detections(boxes, scores, np.array([1]), NAMES)
    return {"c": item, "a": Detections(boxes.repeat(2, axis=0), scores.repeat(2), np.array([0, 1]), NAMES)}


@pytest.fixture(name="index")
def index_of_three_images() -> SplitIndex:
    return split_index(("a", "b", "c"), NAMES)


def test_records_become_columns(index: SplitIndex) -> None:
    objects = split_objects(index, records())
    assert objects.images.tolist() == [0, 0, 2]
    assert objects.labels.tolist() == [0, 1, 1]
    assert objects.boxes_xywh.tolist() == [[0, 0, 10, 20], [5, 6, 3, 1], [0, 0, 10, 20]]
    assert objects.boxes[1].tolist() == [5, 6, 8, 7]
    assert objects.ignored.tolist() == objects.crowd.tolist() == [False, True, False]
    assert objects.areas.tolist() == [200, 3, 200]


def test_detections_become_columns_in_the_order_of_the_images(index: SplitIndex) -> None:
    detections = split_detections(index, found())
    assert detections.images.tolist() == [0, 0, 2]
    assert detections.labels.tolist() == [0, 1, 1]
    assert detections.boxes_xywh.tolist() == [[1, 2, 2, 3]] * 3
    assert detections.scores.tolist() == [float(np.float32(0.1))] * 3


def test_empty_split() -> None:
    index = split_index((), ())
    assert len(split_objects(index, [])) == len(split_detections(index, {})) == 0
    assert index.sizes.shape == (0, 2)


@pytest.mark.parametrize(
    ("image_ids", "expected"),
    [
        (("000012", "000003"), [12, 3]),
        (("val_1", "val_2"), [1, 2]),
        (("12", "x"), [1, 2]),
        (("1", "01"), [1, 2]),  # both would be 1
        (("²", "3"), [1, 2]),
    ],
)
def test_numbers_for_coco(image_ids: tuple[str, ...], expected: list[int]) -> None:
    index = split_index(image_ids, NAMES)
    assert index.coco_image_ids.tolist() == expected
    assert index.list_numbers.tolist() == [1, 2]
    assert index.category_ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"category_ids": [4, 4]}, "category_ids must differ, got 4 twice"),
        ({"coco_image_ids": [1]}, r"coco_image_ids must have shape \[3\], got \[1\]"),
        ({"sizes": [None]}, r"sizes must have shape \[3, 2\], got \[1, 2\]"),
        ({"file_names": ["a"]}, r"file_names must have shape \[3\], got \[1\]"),
    ],
)
def test_index_is_checked(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_index(("a", "b", "c"), NAMES, **more)


def test_names_occur_once() -> None:
    with pytest.raises(ValueError, match="image_ids must differ, got 'a' twice"):
        split_index(("a", "b", "a"), NAMES)
    with pytest.raises(ValueError, match="class_names must differ, got 'cat' twice"):
        split_index(("a",), ("cat", "cat"))


def test_columns_are_checked(index: SplitIndex) -> None:
    rows, boxes = np.zeros(2, np.int64), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"scores must have shape \[2\], got \[1\]"):
        SplitDetections(index, rows, rows, boxes, np.zeros(1))
    with pytest.raises(ValueError, match=r"boxes_xywh must have shape \[2, 4\], got \[2, 3\]"):
        SplitDetections(index, rows, rows, boxes[:, :3], np.zeros(2))
    with pytest.raises(ValueError, match="labels must be positions in the 2 of the index, got 0-2"):
        SplitDetections(index, rows, np.array([0, 2]), boxes, np.zeros(2))
    with pytest.raises(ValueError, match="images must be positions in the 3 of the index, got -1-0"):
        SplitObjects(index, np.array([-1, 0]), rows, boxes, rows > 0, rows > 0, boxes[:, 0])


def test_rows_are_taken_from_every_column(index: SplitIndex) -> None:
    objects = split_objects(index, records())[np.array([2, 0])]
    assert objects.images.tolist() == [2, 0]
    assert objects.areas.tolist() == [200, 200]
    assert len(split_detections(index, found())[np.array([False, True, False])]) == 1


def test_blacklisted_classes_are_left_out_of_their_images(index: SplitIndex) -> None:
    whole_split = split_objects(index, records()), split_detections(index, found())
    objects, detections = drop_blacklisted(*whole_split, {"a": {1}, "b": [0, 1], "elsewhere": [0]})
    assert list(zip(objects.images.tolist(), objects.labels.tolist(), strict=True)) == [(0, 0), (2, 1)]
    assert list(zip(detections.images.tolist(), detections.labels.tolist(), strict=True)) == [(0, 0), (2, 1)]
    assert drop_blacklisted(*whole_split, {}) == whole_split


def test_selected_images(index: SplitIndex) -> None:
    objects = select_images(split_objects(index, records()), np.array([2, 1]))
    assert objects.index.image_ids == ("c", "b")
    assert objects.index.list_numbers.tolist() == [3, 2]
    assert objects.images.tolist() == [0]
    assert objects.labels.tolist() == [1]


def test_corners_there_and_back() -> None:
    corners = np.random.default_rng(0).integers(0, 500, (50, 4)).astype(np.float32)
    before = corners.copy()
    np.testing.assert_array_equal(xywh_to_corners(corners_to_xywh(corners)), corners)
    np.testing.assert_array_equal(corners, before)


def test_same_index() -> None:
    item = split_index(("a", "b"), NAMES)
    assert item.same_as(split_index(["a", "b"], NAMES, list_numbers=[7, 8]))
    assert not item.same_as(split_index(["b", "a"], NAMES))
    assert not item.same_as(split_index(["a", "b"], ("dog", "cat")))
