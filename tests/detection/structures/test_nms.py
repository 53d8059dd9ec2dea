from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from torchvision.ops import nms as torchvision_nms

from detection.structures import boxes as boxes_module
from detection.structures.boxes import NMS_IOU_THRESHOLD, as_boxes, drop_parts, nms, vote_boxes
from tests.detection.structures.naive_nms import naive_nms, random_boxes


def kept(boxes: Sequence[Sequence[float]], scores: Sequence[float], iou_threshold: float) -> list[int]:
    return [int(index) for index in nms(as_boxes(boxes), np.array(scores, np.float32), iou_threshold)]


AT_THRESHOLD = [
    (3, 1, 0.5),  # 2 / 4
    (13, 7, 0.3),  # 6 / 20
    (17, 3, 0.7),  # 14 / 20
    (9, 1, 0.8),  # 8 / 10
    (5, 5, 0.0),  # they touch
    (5, 0, 1.0),  # they are equal
]


@pytest.mark.parametrize(("length", "shift", "threshold"), AT_THRESHOLD)
def test_overlap_at_the_threshold_is_kept(length: int, shift: int, threshold: float) -> None:
    assert kept([(0, 0, length, 4), (shift, 0, shift + length, 4)], [0.9, 0.8], threshold) == [0, 1]
    assert kept([(0, 0, 4, length), (0, shift, 4, shift + length)], [0.9, 0.8], threshold) == [0, 1]


@pytest.mark.parametrize(("length", "shift", "threshold"), AT_THRESHOLD[:-1])
def test_overlap_above_the_threshold_is_dropped(length: int, shift: int, threshold: float) -> None:
    nearer = shift - 0.001
    assert kept([(0, 0, length, 4), (nearer, 0, nearer + length, 4)], [0.9, 0.8], threshold) == [0]


def test_smallest_excess_is_dropped() -> None:
    just_under_half = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert kept([(0, 0, 3, 4), (1, 0, 4, 4)], [0.9, 0.8], just_under_half) == [0]
    just_under_one = float(np.nextafter(np.float32(1), np.float32(0)))
    assert kept([(0, 0, 3, 4), (0, 0, 3, 4)], [0.9, 0.8], just_under_one) == [0]


def test_default_threshold_is_that_of_r_cnn() -> None:
    assert NMS_IOU_THRESHOLD == 0.3
    boxes = as_boxes([(0, 0, 13, 4), (7, 0, 20, 4), (6.9, 0, 19.9, 4)])  # 6 / 20 with the first; a little more
    assert nms(boxes[[0, 1]], np.array([0.9, 0.8], np.float32)).tolist() == [0, 1]
    assert nms(boxes[[0, 2]], np.array([0.9, 0.8], np.float32)).tolist() == [0]


def test_order_is_by_score() -> None:
    # Apart from each other.
    assert kept([(0, 0, 1, 1), (2, 0, 3, 1), (4, 0, 5, 1)], [0.1, 0.9, 0.5], 0.3) == [1, 2, 0]


def test_dropped_box_drops_none() -> None:
    # Columns 0-10, 4-14 and 8-18: neighbours share 6 of 14 (0.43), the outer two 2 of 18. The second goes with the
    # first, so the third stays; where the second is best, it is alone.
    boxes = [(0, 0, 10, 4), (4, 0, 14, 4), (8, 0, 18, 4)]
    assert kept(boxes, [0.9, 0.8, 0.7], 0.3) == [0, 2]
    assert kept(boxes, [0.8, 0.9, 0.7], 0.3) == [1]
    assert kept(boxes, [0.7, 0.8, 0.9], 0.3) == [2, 0]


def test_first_of_equal_scores_is_best() -> None:
    boxes = [(0, 0, 10, 4), (1, 0, 11, 4), (50, 0, 60, 4)]  # the first two share 9 of 11
    assert kept(boxes, [0.5, 0.5, 0.5], 0.3) == [0, 2]
    assert kept(boxes[::-1], [0.5, 0.5, 0.5], 0.3) == [0, 1]


@pytest.mark.parametrize("rows", [1, 2, 7, 30, 64])
def test_rows_computed_together_change_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(boxes_module, "ROWS_AT_ONCE", rows)
    generator = np.random.default_rng(1)
    boxes = random_boxes(generator, 30)
    scores = (generator.integers(0, 12, 30) / 16).tolist()
    expected = naive_nms(boxes, scores, Fraction(3, 10))
    assert kept(boxes, scores, 0.3) == expected
    assert 0 < len(expected) < 30


def test_many_equal_scores_keep_their_order() -> None:
    # Many, as sorting that is not stable keeps the order of a few.
    apart = [(2 * x, 0, 2 * x + 1, 1) for x in range(300)]
    expected = [*range(1, 300, 3), *range(2, 300, 3), *range(0, 300, 3)]
    assert kept(apart, [0.5, 0.9, 0.7] * 100, 0.3) == expected


def test_boxes_without_area_overlap_none() -> None:
    assert kept([(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 9, 9)], [0.9, 0.8, 0.7], 0.0) == [0, 1, 2]


def test_scores_of_any_range() -> None:
    assert kept([(0, 0, 9, 9), (0, 0, 9, 9), (20, 0, 29, 9)], [-3, -1.5, 12], 0.3) == [2, 1]


def test_no_boxes() -> None:
    indices = nms(as_boxes([]), np.zeros(0, np.float32), 0.5)
    assert indices.shape == (0,)
    assert indices.dtype == np.int64


def test_one_box() -> None:
    assert kept([(0, 0, 0, 0)], [0], 0.0) == [0]


def test_inputs_stay() -> None:
    boxes, scores = as_boxes([(0, 0, 9, 9), (0, 0, 9, 9)]), np.array([0.25, 0.5], np.float32)
    nms(boxes, scores, 0.3)
    assert boxes.tolist() == [[0, 0, 9, 9], [0, 0, 9, 9]]
    assert scores.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("threshold", [Fraction(0), Fraction(3, 10), Fraction(1, 2), Fraction(7, 10), Fraction(1)])
def test_agrees_with_exact_arithmetic(threshold: Fraction) -> None:
    generator = np.random.default_rng(0)
    dropped = 0
    for _ in range(20):
        boxes = random_boxes(generator, 30)
        scores = (generator.integers(0, 12, 30) / 16).tolist()  # with many ties
        expected = naive_nms(boxes, scores, threshold)
        assert kept(boxes, scores, float(threshold)) == expected
        dropped += len(boxes) - len(expected)
    assert (dropped > 30) == (threshold < 1)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8])
def test_agrees_with_torchvision(threshold: float) -> None:
    generator = np.random.default_rng(1)
    corners = generator.uniform(0, 20, (200, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(10, 40, (200, 2))], axis=1).astype(np.float32)
    scores = (generator.permutation(200) / 256).astype(np.float32)
    expected = torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist()
    assert nms(boxes, scores, threshold).tolist() == expected
    assert 1 < len(expected) < 200


def test_a_numpy_threshold_means_the_same() -> None:
    """The intersection is 10 x 6, the union 130 + 130 - 60. float32 and float64 round this IoU of 0.3 differently."""
    boxes = np.array([[0, 0, 10, 13], [0, 7, 10, 20]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8], np.float32), np.float64(0.3)).tolist() == [0, 1]


def whole_boxes(boxes: Sequence[Sequence[float]], share: float) -> list[int]:
    return [int(index) for index in drop_parts(as_boxes(boxes), share)]


def test_a_part_of_a_better_and_larger_box_is_dropped() -> None:
    # Of the second box, 10 of 20 columns lie in the first: half of its area, an IoU of 200 / 10,200.
    boxes = [(0, 0, 100, 100), (90, 0, 110, 20)]
    assert whole_boxes(boxes, 0.5) == [0]
    assert whole_boxes(boxes, 0.51) == [0, 1]


def test_a_better_part_does_not_drop_the_whole() -> None:
    assert whole_boxes([(40, 40, 60, 60), (0, 0, 100, 100)], 0.8) == [0, 1]


def test_a_box_that_was_dropped_drops_none() -> None:
    # The third box lies in the second one, which is a part of the first; 15 of its 20 columns lie in the first.
    boxes = [(0, 0, 100, 100), (60, 0, 105, 40), (85, 0, 105, 20)]
    assert whole_boxes(boxes, 0.8) == [0, 2]


def test_boxes_apart_and_no_boxes() -> None:
    assert whole_boxes([(0, 0, 10, 10), (20, 20, 30, 30), (0, 20, 5, 25)], 0.1) == [0, 1, 2]
    assert whole_boxes([(0, 0, 10, 10), (20, 20, 30, 30)], 0) == [0, 1]
    assert whole_boxes([], 0.5) == []


def test_a_box_without_area_is_no_part() -> None:
    assert whole_boxes([(0, 0, 10, 10), (20, 0, 20, 10), (5, 5, 5, 5)], 0.7) == [0, 1, 2]


def test_votes_of_near_boxes_move_a_box() -> None:
    boxes = as_boxes([(0, 0, 10, 10)])
    near, far = (0, 0, 10, 14), (8, 0, 18, 10)  # IoUs of 10 / 14 and 2 / 18
    candidates = as_boxes([boxes[0], near, far])
    weights = np.array([0.6, 0.2, 0.9], np.float32)
    np.testing.assert_allclose(vote_boxes(boxes, candidates, weights, 0.5), [[0, 0, 10, 11]], rtol=1e-6)
    np.testing.assert_array_equal(vote_boxes(boxes, candidates, weights, 0.75), boxes)


def test_a_candidate_votes_for_the_first_box_only() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (6, 0, 16, 10)])
    candidates = as_boxes([*boxes, (3, 0, 13, 10)])  # the last has an IoU of 7 / 13 with both
    weights = np.array([0.5, 0.5, 0.5], np.float32)
    expected = as_boxes([(1.5, 0, 11.5, 10), (6, 0, 16, 10)])
    np.testing.assert_allclose(vote_boxes(boxes, candidates, weights, 0.5), expected)


def test_without_votes_a_box_stays() -> None:
    boxes = as_boxes([(3, 3, 3, 3), (1, 2, 5, 6)])  # the first has no area, and so no IoU
    np.testing.assert_array_equal(vote_boxes(boxes, boxes, np.zeros(2, np.float32), 0.5), boxes)
    assert vote_boxes(boxes[:0], boxes, np.ones(2, np.float32), 0.5).shape == (0, 4)
