"""`Detector.refine` moves and scores detections again, by a last look of the classifier at their boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from detection.calibration import BetaCalibration
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


def find(classify: object, *, boxes: FloatArray = FIRST, **options: Any) -> dict[str, list[list[float]]]:
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


def find_scores(*, boxes_too: bool = True, **options: Any) -> list[float]:
    refine_share = 1 if boxes_too else 0
    detector = Detector(Mock(), Looker(shift_cats), score_threshold=0.1, refine_share=refine_share, **options)
    (detections,) = detector.score([IMAGE], [Proposals(FIRST, np.ones(3, np.float32))])
    scores: list[float] = detections.scores.tolist()
    return scores


def test_scores_stay() -> None:
    assert find_scores() == pytest.approx([0.9, 0.8, 0.7])


def test_scores_become_the_mean_of_log_odds_with_those_of_the_last_look() -> None:
    log_odds = np.log([9, 4, 7 / 3]) * 0.75 + np.log(3 / 7) * 0.25  # of 0.9, 0.8 and 0.7, and of 0.3
    assert find_scores(rescore_share=0.25) == pytest.approx((1 / (1 + np.exp(-log_odds))).tolist())
    assert find_scores(rescore_share=0.25, boxes_too=False) == find_scores(rescore_share=0.25)


def test_scores_of_the_last_look_are_calibrated() -> None:
    calibrate = BetaCalibration(2, 2, 0)  # doubles the log odds
    log_odds = 2 * (np.log([9, 4, 7 / 3]) + np.log(3 / 7)) / 2
    assert find_scores(rescore_share=0.5, calibrate=calibrate) == pytest.approx((1 / (1 + np.exp(-log_odds))).tolist())


def test_detections_whose_score_falls_below_the_threshold_are_dropped() -> None:
    detector = Detector(Mock(), Looker(shift_cats), score_threshold=0.65, refine_share=1, rescore_share=0.5)
    (detections,) = detector.score([IMAGE], [Proposals(FIRST, np.ones(3, np.float32))])
    assert detections.scores == pytest.approx([0.6626], abs=1e-4)  # 0.9 and 0.3
    detector.score_threshold = 0.68
    (detections,) = detector.score([IMAGE], [Proposals(FIRST, np.ones(3, np.float32))])
    assert len(detections) == 0
    assert detections.guesses is not None
    assert detections.guesses.names == ["cat", "dog"]
    assert detections.guesses.scores == pytest.approx([0.6626, 0.567], abs=1e-3)


def test_a_last_look_changes_the_order() -> None:
    class Changing(Looker):
        def score_last(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
            (last,) = super().score_last(images, boxes)
            assert len(images) == 1
            return [replace(last, probabilities=np.array([[0.9, 0.1, 0], [0.2, 0, 0.8], [0.1, 0.9, 0]], np.float32))]

    first, *_, third = FIRST.tolist()
    assert find(Changing(shift_cats), rescore_share=0.5)["cat"] == [third, first]


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


@pytest.mark.parametrize("name", ["refine_share", "rescore_share"])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_out_of_range(name: str, share: float) -> None:
    options: dict[str, Any] = {name: share}
    with pytest.raises(ValueError, match=f"^{name} must lie in 0-1"):
        find(Looker(shift_cats), **options)
