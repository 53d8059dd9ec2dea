"""The categories that a photo is asked for, and the answers that its best detections give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detection.datasets.category_kinds import Kinds
from detection.structures.boxes import as_boxes
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from tools.measure.evaluate_photos.answers import Outcome, answer, largest_category, visible_categories

CAT, DOG, PIZZA = range(3)
KINDS = {CAT: Kinds(frozenset({0, 2}), False), DOG: Kinds(frozenset({1}), True)}


def photo(*objects: tuple[int, Sequence[float]], ignored: Sequence[bool] = ()) -> GroundTruth:
    labels = np.array([label for label, _ in objects], np.int64)
    flags = np.array(ignored or [False] * len(objects), np.bool_)
    return GroundTruth("photo", Path("photo.png"), as_boxes([box for _, box in objects]), labels, flags)


def found(*detections: tuple[int, float, Sequence[float]]) -> Detections:
    labels, scores, boxes = zip(*detections, strict=True) if detections else ((), (), ())
    return Detections(as_boxes(boxes), np.array(scores, np.float32), np.array(labels, np.int64), ("a", "b", "c"))


SMALL, LARGER, LARGEST = [0, 0, 32, 32], [0, 0, 32, 33], [0, 0, 50, 50]


@pytest.mark.parametrize(
    ("objects", "ignored", "largest", "visible"),
    [
        ([], [], [], []),
        ([(CAT, SMALL)], [False], [CAT], []),  # exactly 32x32 px counts as small
        ([(CAT, LARGER), (DOG, LARGEST)], [False, False], [DOG], [DOG, CAT]),
        ([(CAT, LARGER), (DOG, LARGEST)], [False, True], [CAT], [CAT]),
        ([(CAT, LARGER), (DOG, LARGEST)], [True, True], [], []),
        ([(CAT, LARGEST), (DOG, LARGEST)], [False, False], [CAT], [CAT, DOG]),
        ([(DOG, LARGER), (CAT, LARGEST), (DOG, LARGEST)], [False] * 3, [CAT], [CAT, DOG]),
    ],
)
def test_categories_asked_for(
    objects: list[tuple[int, list[float]]], ignored: list[bool], largest: list[int], visible: list[int]
) -> None:
    record = photo(*objects, ignored=ignored)
    assert largest_category(record) == largest
    assert visible_categories(record) == visible


def test_any_class_of_the_category_is_right() -> None:
    result = answer(photo((CAT, LARGEST)), found((1, 0.9, LARGEST), (2, 0.5, LARGEST), (0, 0.25, SMALL)), [CAT], KINDS)
    assert result is not None
    assert result.outcomes == (Outcome(CAT, True, True, 0.5),)
    assert (result.right, result.placed, result.score) == (True, True, 0.5)


@pytest.mark.parametrize(("width", "placed"), [(25, True), (24, False)])
def test_place_needs_half_an_overlap(width: int, placed: bool) -> None:
    """A box within an object of 50x50 px has an IoU of width / 50."""
    result = answer(photo((DOG, LARGEST)), found((1, 0.5, [0, 0, width, 50])), [DOG], KINDS)
    assert result is not None
    assert result.outcomes == (Outcome(DOG, True, placed, 0.5),)


def test_place_of_another_category_or_of_an_ignored_object_is_none() -> None:
    record = photo((CAT, LARGEST), (DOG, [50, 50, 90, 90]), (DOG, LARGEST), ignored=[False, False, True])
    result = answer(record, found((1, 0.5, LARGEST)), [DOG], KINDS)
    assert result is not None
    assert (result.right, result.placed) == (True, False)


def test_one_right_category_of_several_is_enough() -> None:
    record = photo((CAT, LARGEST), (DOG, LARGER))
    result = answer(record, found((1, 0.5, LARGER)), visible_categories(record), KINDS)
    assert result is not None
    assert result.outcomes == (Outcome(CAT, False, False, 0), Outcome(DOG, True, True, 0.5))
    assert result.right


def test_nothing_found() -> None:
    result = answer(photo((DOG, LARGEST)), found(), [DOG], KINDS)
    assert result is not None
    assert (result.right, result.placed, result.score) == (False, False, 0)


def test_categories_without_classes_are_not_asked_for() -> None:
    assert answer(photo((PIZZA, LARGEST)), found((1, 0.5, LARGEST)), [PIZZA], KINDS) is None
    both = answer(photo((PIZZA, LARGEST), (DOG, LARGER)), found(), [PIZZA, DOG], KINDS)
    assert both is not None
    assert [outcome.category for outcome in both.outcomes] == [DOG]
