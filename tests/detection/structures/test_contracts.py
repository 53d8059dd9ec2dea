from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, cast

import numpy as np
import pytest

from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import (
    Calibration,
    Classifier,
    Proposals,
    RegionScores,
    find_probabilities,
    find_proposals,
    find_scores,
)

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Returns:
    """A part of a user's own, which calls a function for its result."""

    class_names = ("cat", "dog")

    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self, *_: Any) -> Any:
        return self.result()


def test_boxes_become_float32() -> None:
    boxes: Any = np.array([[0, 1, 2, 3], [4, 4, 9, 9]])  # int64
    proposals = Proposals(boxes, np.array([7.5, -2], np.float32))
    assert len(proposals) == 2
    assert proposals.boxes.dtype == np.float32
    assert proposals.boxes.tolist() == [[0, 1, 2, 3], [4, 4, 9, 9]]
    assert proposals.scores.tolist() == [7.5, -2]  # any range


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_sources_become_bytes(dtype: Any) -> None:
    boxes = as_boxes([(0, 0, 1, 1)] * 3)
    assert Proposals(boxes, np.zeros(3, np.float32)).sources is None
    sources = Proposals(boxes, np.zeros(3, np.float32), np.array([0, 254, 1], dtype)).sources
    assert sources is not None
    assert sources.dtype == np.uint8
    assert sources.tolist() == [0, 254, 1]
    none: Any = Proposals(as_boxes([]), np.zeros(0, np.float32), np.zeros(0, dtype)).sources
    assert none.shape == (0,)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([0], r"sources must have shape \[2\], one for each box, got \[1\]"),
        ([[0, 1]], r"sources must have shape \[2\], one for each box, got \[1, 2\]"),
        ([0, 255], "sources must be whole numbers in 0-254, got int64 from 0 to 255"),
        ([-1, 0], "sources must be whole numbers in 0-254, got int64 from -1 to 0"),
        ([0.0, 1.0], "sources must be whole numbers in 0-254, got float64"),
    ],
)
def test_sources_that_do_not_fit(sources: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Proposals(as_boxes([(0, 0, 1, 1)] * 2), np.zeros(2, np.float32), np.array(sources))


def test_no_proposals() -> None:
    boxes: Any = []
    proposals = Proposals(boxes, np.zeros(0, np.float32))
    assert len(proposals) == 0
    assert proposals.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ([(0, 0, 1, 1)] * 2, np.zeros(3), r"scores must have shape \[2\], one for each box, got \[3\]"),
        ([(0, 0, 1, 1)] * 2, np.zeros((2, 1)), r"scores must have shape \[2\], one for each box, got \[2, 1\]"),
        ([(0, 0, 1, 1)], np.zeros(()), r"scores must have shape \[1\], one for each box, got \[\]"),
        ([], np.zeros(1), r"scores must have shape \[0\], one for each box, got \[1\]"),
        ([(0, 0, 1)], np.zeros(1), r"boxes must have shape \[N, 4\], got \[1, 3\]"),
        ([(2, 0, 1, 1)], np.zeros(1), r"boxes must have x1 <= x2 and y1 <= y2"),
        ([(0, 0, 1, np.inf)], np.zeros(1), "boxes must be finite"),
    ],
)
def test_construction_is_checked(boxes: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Proposals(boxes, scores)


@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_fields_cannot_be_replaced(name: str) -> None:
    proposals = Proposals(as_boxes([(0, 0, 1, 1)]), np.ones(1, np.float32))
    with pytest.raises(FrozenInstanceError):
        setattr(proposals, name, getattr(proposals, name))


@pytest.mark.parametrize(
    ("probabilities", "boxes"),
    [((3,), None), ((3, 0), None), ((3, 3), (3, 3, 4)), ((3, 3), (2, 2, 4)), ((3, 3), (3, 2))],
)
def test_region_scores_that_do_not_fit(probabilities: tuple[int, ...], boxes: tuple[int, ...] | None) -> None:
    refined = None if boxes is None else np.zeros(boxes, np.float32)
    with pytest.raises(ValueError, match="must have shape"):
        RegionScores(np.zeros(probabilities, np.float32), refined)


def test_region_scores_that_fit() -> None:
    scores = RegionScores(np.zeros((5, 3), np.float32), np.zeros((5, 2, 4), np.float32))
    assert scores.boxes is not None


def test_region_scores_become_float32() -> None:
    scores = RegionScores([[0.25, 0.75]], [[[0, 0, 1, 1]]])  # type: ignore[arg-type]
    assert scores.boxes is not None
    assert (scores.probabilities.dtype, scores.boxes.dtype) == (np.dtype(np.float32), np.dtype(np.float32))


def test_proposals_take_plain_lists() -> None:
    proposals = Proposals([[0, 0, 1, 1]], [0.5])  # type: ignore[arg-type]
    assert proposals.scores.dtype == np.float32


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda: (zeros(1, 4), zeros(1)), "expected Proposals, got tuple"),
        (lambda: None, "expected Proposals, got NoneType"),
        (lambda: Proposals(zeros(2, 3), zeros(2)), r"boxes must have shape \[N, 4\], got \[2, 3\]"),
        (
            lambda: Proposals(zeros(2, 4), zeros(3)),
            r"scores must have shape \[2\], one for each box, got \[3\]",
        ),
    ],
)
def test_wrong_result_of_a_proposer_names_its_class(result: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"^{__name__}.Returns: {message}$"):
        find_proposals(Returns(result), IMAGE)


def no_proposals(image: Image) -> Any:
    return image


def test_wrong_result_of_a_function_names_it() -> None:
    with pytest.raises(InputError, match=rf"^{__name__}.no_proposals: expected Proposals, got ndarray$"):
        find_proposals(no_proposals, IMAGE)


def test_other_errors_of_a_proposer_are_left_as_they_are() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        find_proposals(Returns(lambda: int("x")), IMAGE)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda: [RegionScores(zeros(1, 3) + np.nan)], "probabilities and boxes must be finite, got nan or infinity"),
        (lambda: [RegionScores(zeros(1, 3), zeros(1, 2, 4) + np.inf)], "probabilities and boxes must be finite,"),
        (
            lambda: [RegionScores(zeros(1, 3), zeros(1, 2, 4) - [0, 0, 1, 1])],
            r"boxes must have x1 <= x2 and y1 <= y2, got \[0.0, 0.0, -1.0, -1.0\] at 0",
        ),
        (lambda: [RegionScores(zeros(1, 3) + 5)], "probabilities must lie in 0-1, got 5.0 to 5.0"),
        (lambda: [RegionScores(zeros(1, 3) - 1)], "probabilities must lie in 0-1, got -1.0 to -1.0"),
        (lambda: [RegionScores(zeros(1, 2))], r"probabilities must have shape \[1, 3\], got \[1, 2\]"),
        (lambda: [RegionScores(zeros(3))], r"probabilities must have shape \[N, C \+ 1\], got \[3\]"),
        (lambda: [zeros(1, 3)], "expected RegionScores, got ndarray"),
        (
            lambda: RegionScores(zeros(1, 3)),
            "expected a list with 1 RegionScores, one for each image, got RegionScores",
        ),
        (list, r"expected a list with 1 RegionScores, one for each image, got \[\]"),
    ],
)
def test_wrong_result_of_a_classifier_names_its_class(result: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"^{__name__}.Returns: {message}"):
        find_scores(cast(Classifier, Returns(result)), [IMAGE], [as_boxes([(0, 0, 1, 1)])])


def test_scores_that_fit_are_returned_as_they_are() -> None:
    scores = [RegionScores(zeros(1, 3)), RegionScores(zeros(0, 3))]
    classify = cast(Classifier, Returns(lambda: scores))
    assert find_scores(classify, [IMAGE] * 2, [as_boxes([(0, 0, 1, 1)]), as_boxes([])]) is scores


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (zeros(2, 3) + 1.5, "probabilities must lie in 0-1, got 1.5 to 1.5"),
        (zeros(2, 3) + np.nan, "probabilities must lie in 0-1, got nan to nan"),
        (zeros(2), r"probabilities must have shape \[2, 3\], got \[2\]"),
    ],
)
def test_wrong_result_of_a_calibration_names_its_class(probabilities: Any, message: str) -> None:
    calibrate = cast(Calibration, Returns(lambda: probabilities))
    with pytest.raises(InputError, match=rf"^{__name__}.Returns: {message}$"):
        find_probabilities(calibrate, zeros(2, 3), zeros(2, 1))


def test_rounding_of_a_calibration_is_cut_off() -> None:
    calibrate = cast(Calibration, Returns(lambda: np.array([[-1e-6, 0.5, 1 + 1e-6]])))
    assert find_probabilities(calibrate, zeros(1, 3), zeros(1, 1)).tolist() == [[0, 0.5, 1]]
