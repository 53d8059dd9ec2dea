"""Properties of IoU, suppression and voting that all boxes have, tried on boxes that hypothesis invents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes, box_area, box_iou, clip_boxes, drop_parts, nms, scale_boxes, vote_boxes

SIDE = 64

corner = st.integers(0, SIDE).map(float)
"""Whole numbers meet each other often, so that boxes touch, contain and equal each other."""

box = st.tuples(corner, corner, corner, corner).map(
    lambda sides: (min(sides[0], sides[2]), min(sides[1], sides[3]), max(sides[0], sides[2]), max(sides[1], sides[3]))
)
boxes = st.lists(box, max_size=12).map(as_boxes)
scored = st.lists(st.tuples(box, st.integers(0, 4)), max_size=12).map(
    lambda items: (as_boxes([box for box, _ in items]), np.array([score / 4 for _, score in items], np.float32))
)
threshold = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])


@given(boxes, boxes)
def test_iou_is_symmetric_and_in_0_to_1(first: FloatArray, second: FloatArray) -> None:
    iou = box_iou(first, second)
    assert iou.shape == (len(first), len(second))
    assert ((iou >= 0) & (iou <= 1)).all()
    np.testing.assert_array_equal(iou, box_iou(second, first).T)


@given(boxes)
def test_iou_is_1_for_a_box_with_area_and_itself_alone(boxes: FloatArray) -> None:
    iou = box_iou(boxes, boxes)
    np.testing.assert_array_equal(np.diag(iou), (box_area(boxes) > 0).astype(np.float32))
    for row, column in np.argwhere(iou == 1):
        np.testing.assert_array_equal(boxes[row], boxes[column])


@given(boxes, boxes, st.integers(-3, 3), st.integers(-SIDE, SIDE))
def test_iou_does_not_depend_on_scale_and_place(first: FloatArray, second: FloatArray, power: int, shift: int) -> None:
    factor = np.float32(2.0**power)  # which changes no bit of a fraction
    moved = box_iou(first * factor + shift, second * factor + shift)
    np.testing.assert_array_equal(moved, box_iou(first, second))


@given(scored, threshold)
def test_suppression_keeps_what_no_better_box_overlaps(found: tuple[FloatArray, FloatArray], limit: float) -> None:
    boxes, scores = found
    kept = nms(boxes, scores, limit)
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(scores[kept]) <= 0).all()
    iou = box_iou(boxes, boxes)
    for first, second in zip(*np.triu_indices(len(kept), 1), strict=True):
        assert iou[kept[first], kept[second]] <= np.float32(limit)
    for dropped in set(range(len(boxes))) - set(kept.tolist()):
        better = [row for row in kept if (-scores[row], row) < (-scores[dropped], dropped)]
        assert (iou[dropped, better] > np.float32(limit)).any()


@given(scored, threshold)
def test_suppression_of_what_is_kept_changes_nothing(found: tuple[FloatArray, FloatArray], limit: float) -> None:
    boxes, scores = found
    kept = nms(boxes, scores, limit)
    assert nms(boxes[kept], scores[kept], limit).tolist() == list(range(len(kept)))
    assert len(nms(boxes, scores, 1.0)) == len(boxes)


@given(boxes)
def test_parts_are_dropped_in_order(boxes: FloatArray) -> None:
    kept = drop_parts(boxes, 0.9)
    assert kept.tolist() == sorted(kept.tolist())
    assert (kept[:1] == 0).all()  # the best box is no part of a better one
    assert drop_parts(boxes[kept], 0.9).tolist() == list(range(len(kept)))


@settings(max_examples=50)
@given(scored, st.sampled_from([0.3, 0.5, 0.8]))
def test_votes_stay_among_the_candidates(found: tuple[FloatArray, FloatArray], limit: float) -> None:
    candidates, weights = found
    chosen = candidates[nms(candidates, weights, limit)]
    voted = vote_boxes(chosen, candidates, weights, limit)
    assert voted.shape == chosen.shape
    if len(voted):
        assert (voted >= candidates.min(axis=0) - 1e-3).all()
        assert (voted <= candidates.max(axis=0) + 1e-3).all()


@given(boxes, st.sampled_from([0.5, 1.0, 2.0]))
def test_scaling_and_clipping(boxes: FloatArray, factor: float) -> None:
    scaled = scale_boxes(boxes, factor)
    np.testing.assert_allclose(box_area(scaled), box_area(boxes) * factor**2, rtol=1e-6)
    clipped = clip_boxes(scaled, (SIDE, SIDE))
    assert ((clipped >= 0) & (clipped <= SIDE)).all()
    np.testing.assert_array_equal(clip_boxes(clipped, (SIDE, SIDE)), clipped)
    assert (box_area(clipped) <= box_area(scaled)).all()


@pytest.mark.parametrize("count", [0, 1])
def test_few_boxes(count: int) -> None:
    boxes = as_boxes([[1, 2, 3, 4]] * count)
    assert nms(boxes, np.ones(count, np.float32)).tolist() == list(range(count))
    assert drop_parts(boxes, 0.5).tolist() == list(range(count))
