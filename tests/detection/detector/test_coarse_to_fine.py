from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import Mock

import numpy as np
import pytest

from detection.detector import Detector
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, RegionScores

IMAGE = np.zeros((10, 100, 3), np.uint8)
LIKELY = (0, 0, 10, 10)
NEAR = (0, 0, 10, 8)  # shares 80 of 100 pixels with LIKELY
HALF = (0, 0, 10, 5)  # shares 50 of 100
FURTHER = (6, 0, 16, 10)  # shares 40 of 160, an IoU of 0.25
UNLIKELY = (50, 0, 60, 10)
BESIDE_UNLIKELY = (50, 0, 60, 9)  # shares 90 of 100


class LeftClassifier:
    """Gives boxes that begin left of column 30 a probability of 0.5, and others 0.0625; remembers the boxes.

    The refined box is the box one pixel further to the right.
    """

    class_names = ("object",)

    def __init__(self, *, refine: bool = False) -> None:
        self.refine = refine
        self.calls: list[list[list[list[float]]]] = []

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        assert len(images) == len(boxes)
        self.calls.append([image_boxes.tolist() for image_boxes in boxes])
        return [self._score(image_boxes) for image_boxes in boxes]

    def _score(self, boxes: FloatArray) -> RegionScores:
        probabilities = np.where(boxes[:, :1] < 30, np.float32(0.5), np.float32(0.0625))
        refined = boxes[:, None] + np.array([1, 0, 1, 0], np.float32) if self.refine else None
        return RegionScores(np.concatenate([1 - probabilities, probabilities], axis=1), refined)


def make_detector(classify: LeftClassifier, *, share: float = 1.0, threshold: float = 0.25) -> Detector:
    return Detector(
        Mock(),
        classify,
        score_threshold=0.01,
        nms_iou_threshold=1,
        coarse_share=share,
        fine_threshold=threshold,
    )


def proposals(*boxes: tuple[float, float, float, float]) -> Proposals:
    return Proposals(as_boxes(boxes), np.zeros(len(boxes), np.float32))


def lists(*boxes: tuple[float, float, float, float]) -> list[list[float]]:
    return [list(box) for box in boxes]


def test_boxes_near_a_likely_one_are_scored_in_a_second_pass() -> None:
    classify = LeftClassifier()
    found = proposals(LIKELY, UNLIKELY, NEAR, HALF, FURTHER, BESIDE_UNLIKELY)
    (detections,) = make_detector(classify, share=0.3).score([IMAGE], [found])
    # 0.5 x 0.8 and 0.5 x 0.5, which is just enough. FURTHER is too far away. 0.0625 x 0.9 is not enough.
    assert classify.calls == [[lists(LIKELY, UNLIKELY)], [lists(NEAR, HALF)]]
    assert sorted(detections.boxes.tolist()) == sorted(lists(LIKELY, UNLIKELY, NEAR, HALF))
    assert sorted(detections.scores.tolist()) == [0.0625, 0.5, 0.5, 0.5]


def test_boxes_that_are_too_far_away_are_not_scored_with_any_threshold() -> None:
    classify = LeftClassifier()
    make_detector(classify, share=0.5, threshold=0.1).score([IMAGE], [proposals(LIKELY, FURTHER)])
    assert classify.calls[1] == [[]]


def test_all_boxes_are_scored_at_once_by_default() -> None:
    classify = LeftClassifier()
    make_detector(classify).score([IMAGE], [proposals(LIKELY, UNLIKELY, FURTHER)])
    assert classify.calls == [[lists(LIKELY, UNLIKELY, FURTHER)]]


def test_scores_and_refined_boxes_stay_with_their_boxes() -> None:
    detector = make_detector(LeftClassifier(refine=True), share=0.5)
    (boxes,), (scores,) = detector.classify_regions([IMAGE], [as_boxes([UNLIKELY, LIKELY, BESIDE_UNLIKELY, NEAR])])
    assert boxes.tolist() == lists(UNLIKELY, LIKELY, NEAR)
    assert scores.probabilities.tolist() == [[0.9375, 0.0625], [0.5, 0.5], [0.5, 0.5]]
    assert scores.boxes is not None
    assert (scores.boxes[:, 0] - boxes).tolist() == [[1, 0, 1, 0]] * 3


def test_images_of_a_list_do_not_change_each_other() -> None:
    found = [proposals(LIKELY, NEAR), proposals(), proposals(UNLIKELY, BESIDE_UNLIKELY), proposals(LIKELY, HALF)]
    classify = LeftClassifier()
    detector = make_detector(classify, share=0.5)
    together = detector.score([IMAGE] * 4, found)
    assert [len(detections) for detections in together] == [2, 0, 1, 2]
    assert len(classify.calls) == 2  # the images share both passes
    alone = [detector.score([IMAGE], [image_proposals])[0] for image_proposals in found]
    assert [detections.to_dict() for detections in together] == [detections.to_dict() for detections in alone]


def test_no_images_and_a_single_box() -> None:
    detector = make_detector(LeftClassifier(), share=0.01)
    assert detector.score([], []) == []
    assert len(detector.score([IMAGE], [proposals(UNLIKELY)])[0]) == 1


@pytest.mark.parametrize(
    ("share", "threshold"), [(-0.5, 0.1), (0, 0.1), (2, 0.1), (0.5, 1.5), (0.5, -0.1), (0.5, float("nan"))]
)
def test_settings_out_of_range(share: float, threshold: float) -> None:
    with pytest.raises(ValueError, match=r"(coarse_share|fine_threshold) must (lie in 0-1|be above 0)"):
        make_detector(LeftClassifier(), share=share, threshold=threshold)
