"""`Detector.refine` moves the boxes of detections to where the classifier sees the objects at a second look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest.mock import Mock

import numpy as np
import pytest

from detection.detector import Detector
from detection.errors import InputError
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, RegionScores

NAMES = ("cat", "dog")
IMAGE = np.zeros((40, 60, 3), np.uint8)
FIRST = as_boxes([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)])
SCORES = np.array([[0.1, 0.9, 0.0], [0.2, 0.0, 0.8], [0.3, 0.7, 0.0]], np.float32)
SHIFT = np.array([8, 4, 8, 4], np.float32)


class Looker:
    """A classifier with the `SCORES`; at a second look, `second` gives the boxes [N, C, 4] of regions [N, 4]."""

    class_names = NAMES

    def __init__(self, second: Callable[[FloatArray], FloatArray | None]) -> None:
        self.second = second

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        assert len(images) == len(boxes)
        return [RegionScores(SCORES[: len(regions)]) for regions in boxes]

    def score_last(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        assert len(images) == len(boxes)
        return [RegionScores(np.full((len(regions), 3), 0.3, np.float32), self.second(regions)) for regions in boxes]


def shift_cats(regions: FloatArray) -> FloatArray:
    return np.stack([regions + SHIFT, regions], axis=1)


def find(classify: object, *, boxes: FloatArray = FIRST, **options: float) -> dict[str, list[list[float]]]:
    """Return the boxes of the detections of each class, best first."""
    detector = Detector(Mock(), classify, score_threshold=0.25, **options)  # type: ignore[arg-type]
    (detections,) = detector.score([IMAGE], [Proposals(boxes, np.ones(len(boxes), np.float32))])
    names = np.array(detections.names)
    assert detections.scores.tolist() == sorted(detections.scores.tolist(), reverse=True)
    return {name: detections.boxes[names == name].tolist() for name in NAMES}


def test_by_default_boxes_stay() -> None:
    assert find(Looker(shift_cats)) == {"cat": FIRST[[0, 2]].tolist(), "dog": FIRST[[1]].tolist()}


@pytest.mark.parametrize("share", [0.25, 0.5, 1])
def test_boxes_move_by_the_share_of_the_way_to_those_of_their_class(share: float) -> None:
    moved = FIRST[[0, 2]] + share * SHIFT
    assert find(Looker(shift_cats), refine_share=share) == {"cat": moved.tolist(), "dog": FIRST[[1]].tolist()}


def test_scores_stay() -> None:
    detector = Detector(Mock(), Looker(shift_cats), score_threshold=0.25, refine_share=1)
    (detections,) = detector.score([IMAGE], [Proposals(FIRST, np.ones(3, np.float32))])
    assert detections.scores == pytest.approx([0.9, 0.8, 0.7])


def test_boxes_that_meet_are_suppressed() -> None:
    merging = Looker(lambda regions: np.broadcast_to(FIRST[0], (len(regions), 2, 4)))
    assert find(merging, refine_share=1) == {"cat": [FIRST[0].tolist()], "dog": [FIRST[0].tolist()]}


def test_a_classifier_that_refines_no_boxes_leaves_them() -> None:
    assert find(Looker(lambda regions: None), refine_share=1) == find(Looker(shift_cats))  # noqa: ARG005


def test_a_classifier_without_the_method_is_called_again() -> None:
    class Refining:
        class_names = NAMES

        def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
            assert len(images) == len(boxes)
            return [RegionScores(SCORES[: len(regions)], shift_cats(regions)) for regions in boxes]

    moved = FIRST[[0, 2]] + 1.5 * SHIFT
    assert find(Refining(), refine_share=0.5) == {"cat": moved.tolist(), "dog": FIRST[[1]].tolist()}


def test_nothing_to_refine() -> None:
    assert find(Looker(shift_cats), boxes=FIRST[:0], refine_share=1) == {"cat": [], "dog": []}


def test_wrong_result_names_the_classifier() -> None:
    with pytest.raises(InputError, match="Looker"):
        find(Looker(lambda regions: regions), refine_share=1)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match=r"^refine_share must lie in 0-1"):
        find(Looker(shift_cats), refine_share=share)
