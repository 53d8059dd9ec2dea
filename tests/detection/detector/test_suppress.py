"""`Detector.suppress` turns scored regions into detections: classes, thresholds, limits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import numpy as np
import pytest

from detection.detector import Detector
from detection.structures import suppression
from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Classifier, RegionScores
from detection.structures.detections import Detections
from tests.detection.structures.naive_nms import naive_nms, random_boxes

NAMES = ("cat", "dog", "owl")

SIZE = (40, 60)
"""Height and width of the image; they only matter for a calibration."""

APART = as_boxes([(0, 0, 4, 4), (10, 0, 14, 4), (20, 0, 24, 4), (30, 0, 34, 4)])


def run(
    probabilities: Sequence[Sequence[float]],
    boxes: FloatArray = APART,
    *,
    refined: FloatArray | None = None,
    score_threshold: float = 0.25,
    max_detections: int = 100,
) -> Detections:
    """Suppress regions with these probabilities of the foreground classes; that of background is 0."""
    foreground = np.array(probabilities, np.float32).reshape(-1, len(NAMES))
    with_background = np.concatenate([np.zeros((len(foreground), 1), np.float32), foreground], axis=1)
    detector = make_detector(score_threshold=score_threshold, max_detections=max_detections)
    return detector.suppress(boxes[: len(foreground)], RegionScores(with_background, refined), SIZE)


def make_detector(*, score_threshold: float = 0.25, max_detections: int = 100) -> Detector:
    """Return a detector that is only asked to suppress."""
    classify = SimpleNamespace(class_names=NAMES)
    return Detector(Mock(), cast(Classifier, classify), score_threshold=score_threshold, max_detections=max_detections)


def summary(detections: Detections) -> list[tuple[int, float, float]]:
    """Return the label, the score and the left edge of each detection."""
    lefts = detections.boxes[:, 0].tolist()
    return list(zip(detections.labels.tolist(), detections.scores.tolist(), lefts, strict=True))


def test_best_come_first_over_all_classes() -> None:
    detections = run([(0.5, 0, 0), (0, 0.75, 0), (0, 0, 1), (0.625, 0, 0)])
    assert summary(detections) == [(2, 1, 20), (1, 0.75, 10), (0, 0.625, 30), (0, 0.5, 0)]
    assert detections.names == ["owl", "dog", "cat", "cat"]
    assert detections.boxes.tolist() == APART[[2, 1, 3, 0]].tolist()


def test_background_is_never_detected() -> None:
    probabilities = np.array([[0.75, 0, 0.125, 0.125], [0.5, 0, 0, 0.5]], np.float32)
    detections = make_detector().suppress(APART[:2], RegionScores(probabilities), SIZE)
    assert summary(detections) == [(2, 0.5, 10)]


def test_region_may_be_several_classes() -> None:
    assert summary(run([(0.5, 0.375, 0.125)])) == [(0, 0.5, 0), (1, 0.375, 0)]


def test_classes_do_not_suppress_each_other() -> None:
    same = as_boxes([(0, 0, 9, 9)] * 3)
    # Two cats upon each other are one, the dog upon them is another.
    assert summary(run([(0.5, 0, 0), (0.75, 0, 0), (0, 0.625, 0)], same)) == [(0, 0.75, 0), (1, 0.625, 0)]


def test_overlap_at_the_threshold_stays() -> None:
    boxes = as_boxes([(0, 0, 13, 4), (7, 0, 20, 4), (20, 0, 33, 4), (26.9, 0, 39.9, 4)])  # 6 / 20, and 6.1 / 19.9
    detections = run([(1, 0, 0), (0.75, 0, 0), (0.5, 0, 0), (0.375, 0, 0)], boxes)
    assert summary(detections) == [(0, 1, 0), (0, 0.75, 7), (0, 0.5, 20)]


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.7, 0.1])
def test_score_at_the_threshold_stays(threshold: float) -> None:
    score = float(np.float32(threshold))
    below = float(np.nextafter(np.float32(threshold), np.float32(0)))
    detections = run([(score, 0, 0), (below, 0, 0), (0, below, 0)], score_threshold=threshold)
    assert summary(detections) == [(0, score, 0)]


def test_threshold_of_zero_keeps_every_class_of_every_region() -> None:
    assert len(run([(0, 0, 0), (0, 0, 0)], score_threshold=0)) == 6


def test_region_below_the_threshold_suppresses_none() -> None:
    same = as_boxes([(0, 0, 9, 9), (1, 0, 9, 9)])
    # The first is a better dog, but no cat.
    assert summary(run([(0.125, 1, 0), (0.5, 0, 0)], same)) == [(1, 1, 0), (0, 0.5, 1)]


def test_limit_is_over_all_classes() -> None:
    scores = [(0.5, 0, 0), (1, 0, 0), (0, 0.75, 0), (0, 0, 0.625)]
    best_first = [(0, 1, 10), (1, 0.75, 20), (2, 0.625, 30), (0, 0.5, 0)]
    for limit in range(1, 6):
        assert summary(run(scores, max_detections=limit)) == best_first[:limit]


def test_equal_scores_of_a_class_keep_the_order_of_the_regions() -> None:
    apart = as_boxes([(2 * x, 0, 2 * x + 1, 1) for x in range(300)])
    detections = run([(0.5, 0, 0), (1, 0, 0), (0.75, 0, 0)] * 100, apart, max_detections=250)
    expected = [*range(1, 300, 3), *range(2, 300, 3), *range(0, 300, 3)][:250]
    assert detections.boxes[:, 0].tolist() == [2 * index for index in expected]


def test_first_of_equal_regions_is_kept() -> None:
    boxes = as_boxes([(1, 0, 9, 9), (0, 0, 9, 9)])
    assert summary(run([(0.5, 0, 0), (0.5, 0, 0)], boxes)) == [(0, 0.5, 1)]
    assert summary(run([(0.5, 0, 0), (0.5, 0, 0)], boxes[::-1])) == [(0, 0.5, 0)]


def test_each_class_has_its_own_refined_boxes() -> None:
    # Two regions at the same place. Refined, they are apart as cats, together as dogs, and the first alone is an owl.
    same = as_boxes([(50, 0, 60, 10)] * 2)
    refined = np.array(
        [
            [(0, 0, 9, 9), (20, 0, 29, 9), (30, 1, 39, 8)],
            [(10, 0, 19, 9), (21, 0, 29, 9), (40, 0, 49, 9)],
        ],
        np.float32,
    )  # [N, C, 4]
    detections = run([(0.5, 0.625, 0.75), (0.375, 0.875, 0)], same, refined=refined)
    assert summary(detections) == [(1, 0.875, 21), (2, 0.75, 30), (0, 0.5, 0), (0, 0.375, 10)]
    assert detections.boxes[1].tolist() == [30, 1, 39, 8]


@pytest.mark.parametrize("refined", [None, np.zeros((0, 3, 4), np.float32)])
def test_no_regions(refined: FloatArray | None) -> None:
    detections = run([], refined=refined)
    assert detections.boxes.shape == (0, 4)
    assert detections.class_names == NAMES


def test_nothing_reaches_the_threshold() -> None:
    detections = run([(0.125, 0.125, 0.125)] * 4)
    assert len(detections) == 0
    assert detections.class_names == NAMES


def test_best_candidates_of_each_class_compete(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suppression.CANDIDATES_PER_CLASS == 1000
    monkeypatch.setattr(suppression, "CANDIDATES_PER_CLASS", 2)
    # The last two cats are one too many and upon a better one; each class has its own two.
    boxes = as_boxes([(0, 0, 9, 9), (10, 0, 19, 9), (20, 0, 29, 9)])
    detections = run([(0.5, 0.5, 0), (0.75, 0.25, 0), (1, 0.75, 0.375)], boxes)
    assert summary(detections) == [(0, 1, 20), (0, 0.75, 10), (1, 0.75, 20), (1, 0.5, 0), (2, 0.375, 20)]
    # Candidates are counted before NMS: the second falls to the first, and the third, alone at its place, is not seen.
    upon = as_boxes([(0, 0, 9, 9), (1, 0, 9, 9), (20, 0, 29, 9)])
    assert summary(run([(1, 0, 0), (0.75, 0, 0), (0.5, 0, 0)], upon)) == [(0, 1, 0)]
    # Of equal scores the first regions are taken.
    assert summary(run([(0.5, 0, 0)] * 3, boxes)) == [(0, 0.5, 0), (0, 0.5, 10)]


@pytest.mark.parametrize("with_refined", [False, True])
def test_agrees_with_loops(with_refined: bool) -> None:
    generator = np.random.default_rng(2)
    found = 0
    for limit in (100, 10, 3):
        boxes = [random_boxes(generator, 20) for _ in NAMES]  # of each class
        if not with_refined:
            boxes = boxes[:1] * 3
        scores = generator.integers(0, 17, (20, 3)) / 16  # with ties
        expected = []
        for label in range(3):
            over = [index for index in range(20) if scores[index, label] >= 0.25]
            candidates = [boxes[label][index] for index in over]
            values = [float(scores[index, label]) for index in over]
            chosen = naive_nms(candidates, values, Fraction(3, 10))
            expected += [(label, values[index], list(candidates[index])) for index in chosen]
        expected = sorted(expected, key=lambda detection: -detection[1])[:limit]
        refined = np.array(boxes, np.float32).transpose(1, 0, 2) if with_refined else None
        regions = as_boxes([(0, 0, 1, 1)] * 20 if with_refined else boxes[0])
        actual = run(scores.tolist(), regions, refined=refined, max_detections=limit)
        triples = zip(actual.labels.tolist(), actual.scores.tolist(), actual.boxes.tolist(), strict=True)
        assert list(triples) == expected
        found += len(expected)
    assert found > 20


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_suppress_refuses_scores_of_another_number_of_regions(rows: int) -> None:
    boxes = np.array([[0, 0, 1, 1], [1, 1, 2, 2]], np.float32)
    scores = RegionScores(np.full((rows, 4), 0.3, np.float32))
    with pytest.raises(ValueError, match=r"probabilities must have shape \[2, 4\]"):
        make_detector().suppress(boxes, scores, SIZE)


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_suppress_refuses_scores_of_another_number_of_classes(columns: int) -> None:
    scores = RegionScores(np.full((2, columns), 0.3, np.float32))
    with pytest.raises(ValueError, match=r"probabilities must have shape \[2, 4\]"):
        make_detector().suppress(APART[:2], scores, SIZE)


def test_parts_of_a_detection_are_dropped_if_asked_for() -> None:
    boxes = as_boxes([(0, 0, 40, 40), (0, 0, 10, 10), (0, 0, 10, 10)])
    scores = RegionScores(np.array([[0, 0.9, 0, 0], [0, 0.8, 0, 0], [0, 0, 0.7, 0]], np.float32))
    detector = make_detector()
    assert detector.suppress(boxes, scores, SIZE).names == ["cat", "cat", "dog"]
    detector.part_share = 0.8
    assert detector.suppress(boxes, scores, SIZE).names == ["cat", "dog"]


def test_regions_of_the_class_vote_whatever_the_threshold() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 10, 14), (0, 0, 10, 18)])
    scores = RegionScores(np.array([[0, 0.6, 0, 0], [0, 0.2, 0.5, 0], [0, 0, 0, 0]], np.float32))
    for threshold in (0.1, 0.4):
        detector = make_detector(score_threshold=threshold)
        detector.voting_iou = 0.6
        detections = detector.suppress(boxes, scores, SIZE)
        assert detections.names == ["cat", "dog"]
        # Both cats vote for the cat, and only one region is a dog.
        np.testing.assert_allclose(detections.boxes, [[0, 0, 10, 11], [0, 0, 10, 14]], rtol=1e-6)


def test_boxes_that_voting_moves_together_are_suppressed() -> None:
    # The IoU of the first two is 0.18, and 0.34 after the other two have voted. The limit is 0.3.
    boxes = as_boxes([(0, 0, 10, 10), (7, 0, 17, 10), (3, 0, 13, 10), (4, 0, 14, 10)])
    scores = RegionScores(np.array([[0, score, 0, 0] for score in (0.5, 0.3, 0.2, 0.2)], np.float32))
    detector = make_detector()
    assert len(detector.suppress(boxes, scores, SIZE)) == 2
    detector.voting_iou = 0.5
    detections = detector.suppress(boxes, scores, SIZE)
    np.testing.assert_allclose(detections.boxes, [[6 / 7, 0, 10 + 6 / 7, 10]], rtol=1e-6)
    detector.nms_iou_threshold = 0.35
    assert len(detector.suppress(boxes, scores, SIZE)) == 2


def test_parts_that_voting_moves_into_a_detection_are_dropped() -> None:
    # 67% of the second box lie in the first, and 82% after the third has voted.
    boxes = as_boxes([(0, 0, 20, 10), (12, 0, 24, 10), (10, 0, 20, 10)])
    scores = RegionScores(np.array([[0, score, 0, 0] for score in (0.5, 0.3, 0.3)], np.float32))
    detector = make_detector()
    detector.nms_iou_threshold, detector.part_share = 0.5, 0.8
    np.testing.assert_array_equal(detector.suppress(boxes, scores, SIZE).boxes, boxes[:2])
    detector.voting_iou = 0.55
    np.testing.assert_array_equal(detector.suppress(boxes, scores, SIZE).boxes, boxes[:1])


def test_classes_that_are_not_wanted_are_left_out_before_the_limit() -> None:
    detector = make_detector(max_detections=1)
    probabilities = RegionScores(np.array([(0, 0.5, 0.875, 0), (0, 0, 0.75, 0.625)], np.float32), None)
    detector.classes = ["owl", "Cat"]
    assert summary(detector.suppress(APART[:2], probabilities, SIZE)) == [(2, 0.625, 10)]
    detector.classes = None
    assert summary(detector.suppress(APART[:2], probabilities, SIZE)) == [(1, 0.875, 0)]


def test_a_class_that_the_detector_does_not_know() -> None:
    classify = cast(Classifier, SimpleNamespace(class_names=NAMES))
    with pytest.raises(ValueError, match="expected a class of the detector, such as 'owl', got 'owls'"):
        Detector(Mock(), classify, classes=["cat", "owls"])


def test_the_best_guesses_where_nothing_reaches_the_threshold() -> None:
    detections = run([(0.125, 0, 0), (0.1875, 0.0625, 0)])
    assert len(detections) == 0
    assert detections.guesses is not None
    assert summary(detections.guesses) == [(0, 0.1875, 10), (1, 0.0625, 10)]  # of each class the best
    assert run([(0.25, 0, 0), (0.125, 0, 0)]).guesses is None
    assert run([]).guesses is None
    assert run([(0.00999, 0, 0)]).guesses is None
