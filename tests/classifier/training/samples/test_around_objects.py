"""Tests of `sample_jittered`, which draws regions around ground truth, and of the quota of foreground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from classifier.training.samples.around_objects import sample_jittered
from classifier.training.samples.from_proposals import sample_proposals
from classifier.training.samples.sampled_boxes import ObjectLists, SampledBoxes
from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import as_boxes, box_iou
from detection.training.sample_order import RowNumbers, SampleKey
from tests.classifier.training.samples.sampling_examples import (
    BOXES,
    LABELS,
    PROPOSALS,
    SIZE,
    Size,
    assert_valid,
    jittered,
    quota_of,
)


def sample(
    boxes: FloatArray = BOXES,
    labels: Sequence[int] | IntArray = LABELS,
    size: Size = SIZE,
    *,
    count: int = 200,
    fraction: float = 0.5,
    seed: int = 0,
) -> tuple[FloatArray, IntArray]:
    labels = np.asarray(labels, np.int64)
    drawn = jittered(boxes, labels, size, foreground=quota_of(0, count, fraction), seed=seed)
    found = drawn.labels > 0
    assert (drawn.targets[~found] == drawn.boxes[~found]).all()
    assert all(
        (labels[(boxes == target).all(1)] + 1 == label).any()
        for target, label in zip(drawn.targets[found], drawn.labels[found], strict=True)
    )
    return drawn.boxes, drawn.labels


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_shapes_types_and_borders(fraction: float) -> None:
    regions, targets = sample(fraction=fraction)
    assert (regions.shape, regions.dtype) == ((200, 4), np.dtype(np.float32))
    assert (targets.shape, targets.dtype) == ((200,), np.dtype(np.int64))
    assert_valid(regions, SIZE)
    assert regions[:, 2].max() > 100  # x is measured against the width, not the height


def test_foreground_has_the_label_of_its_best_ground_truth() -> None:
    regions, targets = sample(fraction=1)
    iou = box_iou(regions, BOXES)
    best = iou.argmax(axis=1)
    assert (iou.max(axis=1) >= 0.5).all()
    assert targets.tolist() == (LABELS[best] + 1).tolist()
    assert set(best.tolist()) == {0, 1, 2, 3}
    assert (iou.max(axis=1) < 0.7).any()  # down to loose boxes
    assert len(np.unique(regions, axis=0)) > 150


def test_background_overlaps_all_ground_truths_by_less_than_half() -> None:
    regions, targets = sample(fraction=0)
    iou = box_iou(regions, BOXES).max(axis=1)
    assert targets.tolist() == [0] * 200
    assert (iou < 0.5).all()
    assert (iou > 0.3).any()  # near misses
    assert (iou == 0).any()  # and others
    assert len(np.unique(regions, axis=0)) == 200


def test_quota_of_a_quarter() -> None:
    # floor(k / 4) rises at k = 4, 8, ...: of regions 0-3 the last one is foreground.
    assert quota_of(0, 8, 0.25).tolist() == [False, False, False, True] * 2
    assert quota_of(2, 4, 0.25).tolist() == [False, True, False, False]
    assert quota_of(5, 3, 0).tolist() == [False] * 3
    assert quota_of(5, 3, 1).tolist() == [True] * 3
    assert quota_of(9, 0, 0.5).shape == (0,)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1 / 3, 0.65, 0.9])
def test_every_stretch_holds_its_share_of_foreground(fraction: float) -> None:
    quota = quota_of(1000, 5000, fraction)
    for count in (7, 32, 128):
        held = np.convolve(quota, np.ones(count), "valid")
        assert held.min() >= np.floor(count * fraction) - 1e-9
        assert held.max() <= np.ceil(count * fraction) + 1e-9


def test_foreground_is_drawn_where_it_is_wanted() -> None:
    _, targets = sample(count=2000, fraction=0.25)
    assert ((targets > 0) == quota_of(0, 2000, 0.25)).all()


def test_every_ground_truth_is_as_likely() -> None:
    # Label 7 has two of the four: 600 draws of 1200, standard deviation sqrt(1200 / 4) = 17.
    _, targets = sample(count=1200, fraction=1)
    assert abs(int((targets == 8).sum()) - 600) < 87
    assert set(targets.tolist()) == {1, 5, 8}


def test_half_of_the_background_is_near_the_ground_truth() -> None:
    # Boxes at random have sides of at least 640 / 8 = 80; the sides of those around an object of 4 x 4 vary by
    # 4 * 0.7 * sqrt(2) = 4 pixels, so 60 lies far from both. 400 draws: 200 near, standard deviation 10.
    regions, _ = sample(as_boxes([(318, 318, 322, 322)]), [0], (640, 640), count=400, fraction=0)
    longest = (regions[:, 2:] - regions[:, :2]).max(axis=1)
    assert abs(int((longest < 60).sum()) - 200) < 50
    near = regions[longest < 60]
    assert (np.abs(near - 320) < 30).all()


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_image_without_objects_is_all_background(fraction: float) -> None:
    regions, targets = sample(as_boxes([]), [], fraction=fraction, count=50)
    assert targets.tolist() == [0] * 50
    assert_valid(regions, SIZE)
    assert len(np.unique(regions, axis=0)) == 50


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_object_that_fills_an_image_of_one_pixel(fraction: float) -> None:
    # There is no other region, so background cannot be had.
    regions, targets = sample(as_boxes([(0, 0, 1, 1)]), [6], (1, 1), fraction=fraction, count=20)
    assert regions.tolist() == [[0, 0, 1, 1]] * 20
    assert targets.tolist() == [7] * 20


@pytest.mark.parametrize("fraction", [0.0, 1.0])
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (2, 2), (1, 64)])
def test_object_that_fills_a_tiny_image(size: Size, fraction: float) -> None:
    box = as_boxes([(0, 0, size[1], size[0])])
    regions, targets = sample(box, [6], size, fraction=fraction, count=50)
    assert_valid(regions, size)
    iou = box_iou(regions, box)[:, 0]
    assert targets.tolist() == np.where(iou >= 0.5, 7, 0).tolist()
    if fraction == 1:
        assert set(targets.tolist()) == {7}


def test_equal_boxes_of_two_classes_are_both_found() -> None:
    _, targets = sample(as_boxes([(10, 5, 50, 35)] * 2), [1, 2], fraction=1, count=50)
    assert set(targets.tolist()) == {2, 3}


def test_background_beside_an_object_without_area() -> None:
    # Nothing overlaps it.
    regions, targets = sample(as_boxes([(5, 5, 5, 9)]), [3], fraction=0, count=50)
    assert targets.tolist() == [0] * 50
    assert_valid(regions, SIZE)


def test_no_regions() -> None:
    regions, targets = sample(count=0)
    assert regions.shape == (0, 4)
    assert targets.shape == (0,)


def test_images_of_a_batch_are_drawn_as_if_alone() -> None:
    """The result of an image does not depend on the other images: their objects, sizes and proposals."""
    images = [BOXES, as_boxes([]), BOXES[1:2], BOXES[::-1]]
    labels = [LABELS, LABELS[:0], LABELS[1:2], LABELS[::-1]]
    ignored = [BOXES[:1], BOXES[1:3], as_boxes([]), as_boxes([])]
    sizes = np.array([(40, 120), (200, 150), (40, 300), (50, 120)])
    proposals = [PROPOSALS, PROPOSALS[:3], as_boxes([]), np.repeat(PROPOSALS, 5, axis=0)]
    lists = ObjectLists(images, labels)
    left_out = ObjectLists(ignored, [np.zeros(len(boxes), int) for boxes in ignored])

    def draw(rows: list[int]) -> tuple[SampledBoxes, SampledBoxes]:
        numbers = RowNumbers([SampleKey(0, 7 + row, row) for row in rows], per_sample=30, seed=1)
        quota = np.tile(quota_of(0, 30, 0.5), (len(rows), 1))
        repeated = np.repeat(rows, 30)
        around = sample_jittered(
            lists[repeated], sizes[repeated], ignored=left_out[repeated], foreground=quota.ravel(), numbers=numbers
        )
        boxes = np.concatenate([proposals[row] for row in rows])
        counts = np.array([len(proposals[row]) for row in rows])
        from_proposals = sample_proposals(lists[np.array(rows)], boxes, counts, foreground=quota, numbers=numbers)
        return around, from_proposals

    together, alone = draw([0, 1, 2, 3]), [draw([row]) for row in range(4)]
    for kind in (0, 1):
        for field in range(3):
            expected = np.concatenate([drawn[kind][field] for drawn in alone])
            assert np.array_equal(together[kind][field], expected)
    assert set(together[0].labels.tolist()) == {0, 1, 5, 8}


def test_generator_decides() -> None:
    regions, targets = sample(seed=3)
    again, targets_again = sample(seed=3)
    assert np.array_equal(regions, again)
    assert np.array_equal(targets, targets_again)
    other, _ = sample(seed=4)
    assert not np.array_equal(regions, other)


def test_inputs_stay() -> None:
    boxes, labels = BOXES.copy(), LABELS.copy()
    sample(boxes, labels)
    assert np.array_equal(boxes, BOXES)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("box", [[100, 100, 120, 120], [5, 5, 5, 9], [3, 3, 3.2, 3.2]])
def test_unusable_ground_truth_still_gives_regions_within_the_image(box: list[float]) -> None:
    boxes, labels = np.array([box], np.float32), np.array([0])
    regions, _ = sample(boxes, labels, (64, 64), count=20, fraction=1)
    assert ((regions[:, 2:] - regions[:, :2]) >= 1).all()
    assert (regions >= 0).all()
    assert (regions <= 64).all()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_background_is_apart_from_ignored_objects(count: int) -> None:
    # The whole left half is ignored, a common place for random boxes.
    boxes, labels, ignored = BOXES[:count], LABELS[:count], as_boxes([(0, 0, 60, 40), (80, 0, 120, 40)])

    def overlaps(ignored_boxes: FloatArray) -> FloatArray:
        drawn = jittered(boxes, labels, SIZE, ignored=ignored_boxes, foreground=np.zeros(400, bool))
        assert set(drawn.labels.tolist()) == {0}
        largest: FloatArray = box_iou(drawn.boxes, ignored).max(axis=1)
        return largest

    assert (overlaps(ignored) < 0.5).all()
    assert (overlaps(as_boxes([])) >= 0.5).any()


def test_image_without_room_beside_an_ignored_object() -> None:
    # Every box a pixel wide overlaps it by half or more.
    for size, ignored in (((1, 1), (0, 0, 1, 1)), ((1, 2), (0, 0, 2, 1))):
        drawn = jittered(as_boxes([]), LABELS[:0], size, ignored=as_boxes([ignored]), foreground=np.ones(20, bool))
        assert set(drawn.labels.tolist()) == {0}
        assert_valid(drawn.boxes, size)
