from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.structures.boxes import as_boxes
from detection.structures.detections import Detections

NAMES = ("cat", "dog", "owl")


def three() -> Detections:
    # Every number is exact in float32.
    boxes = as_boxes([(0, 0, 10, 20), (1.5, 2, 4, 8.25), (5, 5, 5, 9)])
    return Detections(boxes, np.array([0.75, 0.5, 0.125], np.float32), np.array([2, 0, 2], np.int64), NAMES)


def none() -> Detections:
    return Detections(as_boxes([]), np.zeros(0, np.float32), np.zeros(0, np.int64), NAMES)


def build(**changes: Any) -> Detections:
    """Build two detections that are valid except for `changes`, which may have any type."""
    valid: dict[str, Any] = {
        "boxes": [(0, 0, 1, 1), (2, 2, 3, 3)],
        "scores": [0.75, 0.5],
        "labels": [0, 2],
        "class_names": NAMES,
    }
    return Detections(**(valid | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.5]}, r"scores must have shape \[2\], one for each box, got \[1\]"),
        ({"scores": [[0.5], [0.5]]}, r"scores must have shape \[2\], one for each box, got \[2, 1\]"),
        ({"scores": 0.5}, r"scores must have shape \[2\], one for each box, got \[\]"),
        ({"labels": [0, 1, 2]}, r"labels must have shape \[2\], one for each box, got \[3\]"),
        ({"labels": [[0, 1]]}, r"labels must have shape \[2\], one for each box, got \[1, 2\]"),
        ({"boxes": []}, r"scores must have shape \[0\], one for each box, got \[2\]"),
        ({"boxes": [0, 0, 1, 1]}, r"boxes must have shape \[N, 4\], got \[4\]"),
        ({"boxes": [(0, 0, 1, 1), (3, 0, 2, 1)]}, r"boxes must have x1 <= x2 and y1 <= y2"),
        ({"boxes": [(0, 0, 1, 1), (0, 0, np.nan, 1)]}, "boxes must be finite"),
        ({"scores": [1.0001, 0.5]}, "scores must lie in 0-1"),
        ({"scores": [0.5, -0.0001]}, "scores must lie in 0-1"),
        ({"scores": [0.5, np.nan]}, "scores must lie in 0-1"),
        ({"labels": [0, 3]}, "labels must be indices of the 3 class names"),
        ({"labels": [-1, 0]}, "labels must be indices of the 3 class names"),
    ],
)
def test_construction_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_limits_of_scores_and_labels_are_allowed() -> None:
    detections = build(scores=[0, 1], labels=[0, 2])
    assert detections.scores.tolist() == [0, 1]
    assert detections.labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"boxes": np.array([[0, 0, 1, 1], [2, 2, 3, 3]]), "scores": np.array([0.75, 0.5])},
        {"labels": np.array([0, 2], np.uint8), "class_names": list(NAMES)},
    ],
)
def test_types_are_those_of_the_contract(changes: dict[str, Any]) -> None:
    detections = build(**changes)
    assert (detections.boxes.dtype, detections.scores.dtype, detections.labels.dtype) == (
        np.dtype(np.float32),
        np.dtype(np.float32),
        np.dtype(np.int64),
    )
    assert detections.boxes.tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    assert detections.scores.tolist() == [0.75, 0.5]
    assert detections.labels.tolist() == [0, 2]
    assert detections.class_names == NAMES


def test_no_detections() -> None:
    for empty in (none(), build(boxes=[], scores=[], labels=[]), build(boxes=[], scores=[], labels=[], class_names=())):
        assert len(empty) == 0
        assert (empty.boxes.shape, empty.scores.shape, empty.labels.shape) == ((0, 4), (0,), (0,))
        assert (empty.boxes.dtype, empty.labels.dtype) == (np.dtype(np.float32), np.dtype(np.int64))
        assert empty.names == []
        assert empty.to_dict() == []
        assert empty.to_coco() == []


@pytest.mark.parametrize("name", ["boxes", "scores", "labels", "class_names"])
def test_fields_cannot_be_replaced(name: str) -> None:
    detections = three()
    with pytest.raises(FrozenInstanceError):
        setattr(detections, name, getattr(detections, name))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([True, False, True]), [0, 2]),
        (np.array([False, False, False]), []),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        (slice(0, 0), []),
        (np.array([2, 0], np.int64), [2, 0]),
        (np.array([1, 1], np.int32), [1, 1]),
        ([-1], [2]),
        ([], []),
    ],
)
def test_indexing(index: Any, expected: list[int]) -> None:
    detections = three()
    chosen = detections[index]
    assert isinstance(chosen, Detections)
    assert len(chosen) == len(expected)
    assert chosen.boxes.shape == (len(expected), 4)
    assert chosen.boxes.tolist() == [detections.boxes.tolist()[i] for i in expected]
    assert chosen.scores.tolist() == [[0.75, 0.5, 0.125][i] for i in expected]
    assert chosen.labels.tolist() == [[2, 0, 2][i] for i in expected]
    assert chosen.class_names == NAMES
    assert len(detections) == 3


def test_indexing_none() -> None:
    assert len(none()[np.zeros(0, np.bool_)]) == 0
    assert len(none()[:5]) == 0


def test_index_out_of_range() -> None:
    with pytest.raises(IndexError):
        three()[[3]]


def test_names() -> None:
    assert three().names == ["owl", "cat", "owl"]


def test_records() -> None:
    assert three().to_dict() == [
        {"class": "owl", "label": 2, "score": 0.75, "box": [0, 0, 10, 20]},
        {"class": "cat", "label": 0, "score": 0.5, "box": [1.5, 2, 4, 8.25]},
        {"class": "owl", "label": 2, "score": 0.125, "box": [5, 5, 5, 9]},
    ]


def test_coco_records() -> None:
    # Width and height are 10 - 0 and 20 - 0; 4 - 1.5 and 8.25 - 2; 0 and 4. Categories count from 1.
    assert three().to_coco(image_id=42) == [
        {"image_id": 42, "category_id": 3, "bbox": [0, 0, 10, 20], "score": 0.75},
        {"image_id": 42, "category_id": 1, "bbox": [1.5, 2, 2.5, 6.25], "score": 0.5},
        {"image_id": 42, "category_id": 3, "bbox": [5, 5, 0, 4], "score": 0.125},
    ]
    assert [record["image_id"] for record in three().to_coco()] == [0, 0, 0]


def test_coco_records_with_the_categories_of_a_file() -> None:
    records = three().to_coco(category_ids={"cat": 17, "owl": 90})
    assert [record["category_id"] for record in records] == [90, 17, 90]
    assert none().to_coco(category_ids={}) == []
    with pytest.raises(ValueError, match="category_ids must have every class that was found, but 'owl' is missing"):
        three().to_coco(category_ids={"cat": 17})


def test_records_pass_through_json() -> None:
    for records in (three().to_dict(), three().to_coco(7), none().to_dict(), none().to_coco(7)):
        assert json.loads(json.dumps(records)) == records


def test_one_index_and_iteration_give_single_detections() -> None:
    detections = Detections(
        np.array([[0, 0, 1, 1], [2, 2, 4, 4]], np.float32),
        np.array([0.9, 0.4], np.float32),
        np.array([1, 0]),
        ("a", "b"),
    )
    assert detections[1].names == ["a"]
    assert detections[-1].boxes.tolist() == [[2, 2, 4, 4]]
    assert [single.names for single in detections] == [["b"], ["a"]]


def test_labels_that_are_no_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must be integers, got float64"):
        Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([0.9]), ("a",))


def test_repr_names_the_best() -> None:
    assert repr(three()) == "Detections(3 objects: owl 0.75, cat 0.50, owl 0.12)"
    assert repr(three()[:1]) == "Detections(1 object: owl 0.75)"
    assert repr(three()[[0] * 7]) == "Detections(7 objects: owl 0.75, owl 0.75, owl 0.75, owl 0.75, owl 0.75, 2 more)"
    assert repr(none()) == "Detections(0 objects)"
    assert repr(replace(none(), guesses=three()[1:])) == "Detections(0 objects; best guesses: cat 0.50, owl 0.12)"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"classes": "cat"}, [1]),
        ({"classes": ["Owl", "dog"]}, [0, 2]),
        ({"classes": []}, []),
        ({"min_score": 0.5}, [0, 1]),  # a score at the limit is kept
        ({"min_score": 0.50001}, [0]),
        # The centres are (5, 10), (2.75, 5.125) and (5, 7).
        ({"region": (5, 7, 6, 10.5)}, [0, 2]),  # the left and the top border belong to the region
        ({"region": (0, 0, 5, 20)}, [1]),  # the right border does not
        ({"region": (0, 0, 20, 10)}, [1, 2]),  # nor does the lower one
        ({"region": (0, 0, 20, 20), "classes": "owl", "min_score": 0.25}, [0]),
    ],
)
def test_filter(conditions: dict[str, Any], expected: list[int]) -> None:
    filtered = three().filter(**conditions)
    assert filtered.boxes.tolist() == three()[expected].boxes.tolist()
    assert filtered.class_names == NAMES


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"classes": "caat"}, "expected a class of the detector, such as 'cat', got 'caat'"),
        ({"classes": "zebra"}, "expected a class of the detector, got 'zebra'"),
        ({"min_score": 50}, "min_score must lie in 0-1, got 50"),
        ({"region": (5, 5, 1, 1)}, "boxes must have x1 <= x2"),
        ({"region": (5, 5)}, "region must be x1, y1, x2, y2, got 2 numbers"),
    ],
)
def test_filter_refuses(conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        three().filter(**conditions)


def test_the_picture_is_a_reference_that_parts_share() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    detections = replace(three(), picture=pixels)
    for part in (detections, detections[0], detections[1:], detections.filter(classes="cat"), copy.copy(detections)):
        assert part.picture is pixels


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))])
def test_a_pickle_and_a_deep_copy_keep_a_path_but_no_pixels(copied: Callable[[Detections], Detections]) -> None:
    for picture, expected in ((Path("a.jpg"), Path("a.jpg")), (np.zeros((30, 40, 3), np.uint8), None)):
        result = copied(replace(three(), picture=picture))
        assert result.picture == expected
        assert result.to_dict() == three().to_dict()
        assert result.class_names == NAMES


def test_equality_is_identity() -> None:
    detections = three()
    assert detections == detections  # noqa: PLR0124
    assert detections != three()
    assert len({detections, detections, three()}) == 2


def test_an_index_is_a_number() -> None:
    detections = three()
    assert len(detections[np.array(0)]) == len(detections[0]) == 1
    assert len(detections[[]]) == len(detections[np.zeros(3, bool)]) == 0
    wrong: list[Any] = [True, np.array(True), None, "0", np.zeros((1, 1), int)]
    for index in wrong:
        with pytest.raises(TypeError, match="expected an index, a slice, or an array of indices or booleans, got "):
            detections[index]
