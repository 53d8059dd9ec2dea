from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from classifier.sampling import (
    ObjectLists,
    Objects,
    SampledBoxes,
    apart_from,
    foreground_quota,
    jitter_boxes,
    keep_apart,
    random_boxes,
    sample_crop,
    sample_jittered,
    sample_proposals,
)
from detection.arrays import BoolArray, FloatArray, IntArray
from detection.boxes import as_boxes, box_iou
from detection.training.sample_order import RowNumbers, SampleKey

Size = tuple[int, int]

# 40 high, 120 wide. Two that overlap by a third (20 of 60 columns), one in the corner, one apart.
SIZE = (40, 120)
BOXES = as_boxes([(10, 5, 50, 35), (30, 5, 70, 35), (112, 30, 120, 40), (80, 2, 90, 12)])
LABELS = np.array([4, 7, 0, 7], np.int64)


def of_one_image(boxes: FloatArray, labels: IntArray | None = None) -> Objects:
    return ObjectLists([boxes], [np.zeros(len(boxes), np.int64) if labels is None else labels])[np.array([0])]


def numbers_for(count: int, seed: int = 0) -> RowNumbers:
    return RowNumbers([SampleKey(0, 0, 0)], per_sample=count, seed=seed)


def jittered(
    boxes: FloatArray,
    labels: IntArray,
    size: Size,
    *,
    ignored: FloatArray | None = None,
    foreground: BoolArray,
    seed: int = 0,
) -> SampledBoxes:
    """So many regions of one image."""
    rows = np.zeros(len(foreground), np.int64)
    return sample_jittered(
        of_one_image(boxes, labels).of_rows(rows),
        np.array(size)[None].repeat(len(rows), axis=0),
        ignored=of_one_image(as_boxes([]) if ignored is None else ignored).of_rows(rows),
        foreground=foreground,
        numbers=numbers_for(len(rows), seed),
    )


def proposed(
    boxes: FloatArray, labels: IntArray, proposals: FloatArray, quota: BoolArray, seed: int = 0
) -> SampledBoxes:
    """So many regions of one image."""
    return sample_proposals(
        of_one_image(boxes, labels),
        proposals,
        np.array([len(proposals)]),
        foreground=quota[None],
        numbers=numbers_for(len(quota), seed),
    )


def quota_of(first: int, count: int, fraction: float) -> BoolArray:
    return foreground_quota(np.arange(first, first + count), fraction)


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


def assert_valid(regions: FloatArray, size: Size) -> None:
    """Within the image, and at least one pixel wide and high, but for rounding in float32."""
    height, width = size
    assert (regions >= 0).all()
    assert (regions <= [width, height, width, height]).all()
    assert (regions[:, 2:] - regions[:, :2] > 1 - 1e-4).all()


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
    """Whatever the others are: with more objects, with none, of other sizes, with more proposals."""
    images = [BOXES, as_boxes([]), BOXES[1:2], BOXES[::-1]]
    labels = [LABELS, LABELS[:0], LABELS[1:2], LABELS[::-1]]
    ignored = [BOXES[:1], BOXES[1:3], as_boxes([]), as_boxes([])]
    sizes = np.array([(40, 120), (200, 150), (40, 300), (50, 120)])
    proposals = [PROPOSALS, PROPOSALS[:3], as_boxes([]), np.repeat(PROPOSALS, 5, axis=0)]
    lists, left_out = ObjectLists(images, labels), ObjectLists(ignored, [np.zeros(len(one), int) for one in ignored])

    def draw(rows: list[int]) -> tuple[SampledBoxes, SampledBoxes]:
        numbers = RowNumbers([SampleKey(0, 7 + row, row) for row in rows], per_sample=30, seed=1)
        quota = np.tile(quota_of(0, 30, 0.5), (len(rows), 1))
        repeated = np.repeat(rows, 30)
        around = sample_jittered(
            lists[repeated], sizes[repeated], ignored=left_out[repeated], foreground=quota.ravel(), numbers=numbers
        )
        boxes = np.concatenate([proposals[row] for row in rows])
        counts = np.array([len(proposals[row]) for row in rows])
        of_proposals = sample_proposals(lists[np.array(rows)], boxes, counts, foreground=quota, numbers=numbers)
        return around, of_proposals

    together, alone = draw([0, 1, 2, 3]), [draw([row]) for row in range(4)]
    for kind in (0, 1):
        for field in range(3):
            expected = np.concatenate([one[kind][field] for one in alone])
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


def jitter(
    box: Sequence[float], spread: float, size: Size = (1000, 1000), count: int = 100, seed: int = 0
) -> FloatArray:
    numbers = numbers_for(1, seed)(0, 4 * count).reshape(1, count, 4)
    boxes = jitter_boxes(np.array([box], np.float32), np.array([size]), spread=np.array([spread]), numbers=numbers)
    return boxes.reshape(count, 4)


def anywhere(size: Size, count: int) -> FloatArray:
    return random_boxes(np.array([size]), numbers=numbers_for(1)(0, 4 * count).reshape(1, count, 4)).reshape(count, 4)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((3, 4, 30, 20), (3, 4, 30, 20)),
        ((0, 0, 64, 48), (0, 0, 64, 48)),
        ((-5, -6, 99, 88), (0, 0, 64, 48)),  # cut at 64 x 48
        ((5, 5, 5, 9), (5, 5, 6, 9)),  # without width: widened to one pixel
        ((5, 9, 8, 9), (5, 9, 8, 10)),
        ((5, 5, 5.5, 5.25), (5, 5, 6, 6)),
        ((64, 10, 64, 20), (63, 10, 64, 20)),  # at the right border, inwards
        ((10, 48, 20, 48), (10, 47, 20, 48)),
        ((70, 60, 90, 80), (63, 47, 64, 48)),  # outside: the last pixel
        ((-9, -9, -1, -1), (0, 0, 1, 1)),
    ],
)
def test_jitter_without_spread_is_the_box_within_the_image(box: Sequence[float], expected: Sequence[float]) -> None:
    assert jitter(box, 0, (48, 64), count=2).tolist() == [list(expected)] * 2


def test_jitter_is_in_units_of_the_sides() -> None:
    # 40 wide and 10 high, spread 0.1: x borders vary by 4, y borders by 1. The standard deviation of 4000 draws is
    # within 1 / sqrt(8000) = 1.1% of that, the mean within 0.016 of it; five times that much is let pass.
    moved = jitter((300, 500, 340, 510), 0.1, count=4000) - np.array([300, 500, 340, 510], np.float32)
    np.testing.assert_allclose(moved.std(axis=0), [4, 1, 4, 1], rtol=0.056)
    np.testing.assert_allclose(moved.mean(axis=0) / [4, 1, 4, 1], 0, atol=0.08)
    assert (np.abs(np.corrcoef(moved.T) - np.eye(4)) < 0.08).all()  # each border for itself


def test_wild_jitter_is_valid() -> None:
    boxes = jitter((1, 2, 60, 3), 5, (48, 64), count=2000)
    assert_valid(boxes, (48, 64))
    assert len(np.unique(boxes, axis=0)) > 100


def test_random_boxes_are_between_an_eighth_and_all_of_the_image() -> None:
    boxes = anywhere((80, 640), 2000)
    assert boxes.shape == (2000, 4)
    assert boxes.dtype == np.float32
    assert_valid(boxes, (80, 640))
    sides = (boxes[:, 2:] - boxes[:, :2]) / [640, 80]
    assert (sides > 1 / 8 - 1e-5).all()
    # Log-uniform: log2 is uniform in -3 to 0, so each third has one octave of the sides. 667, standard deviation 21.
    for low in (1 / 8, 1 / 4, 1 / 2):
        within = ((sides >= low) & (sides < 2 * low)).sum(axis=0)
        assert (np.abs(within - 2000 / 3) < 105).all()


def test_random_boxes_are_anywhere() -> None:
    boxes = anywhere((80, 640), 2000)
    left_top = boxes[:, :2]
    free = np.array([640, 80]) - (boxes[:, 2:] - left_top)
    # Uniform in 0-1: mean 1/2 within 5 * sqrt(1 / 12 / 2000) = 0.032, standard deviation sqrt(1 / 12) = 0.289.
    place = left_top[free.min(axis=1) > 1] / free[free.min(axis=1) > 1]
    np.testing.assert_allclose(place.mean(axis=0), 0.5, atol=0.033)
    np.testing.assert_allclose(place.std(axis=0), 0.289, atol=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2)])
def test_random_boxes_in_tiny_images(size: Size) -> None:
    assert_valid(anywhere(size, 200), size)


@pytest.mark.parametrize("box", [[100, 100, 120, 120], [5, 5, 5, 9], [3, 3, 3.2, 3.2]])
def test_unusable_ground_truth_still_gives_regions_within_the_image(box: list[float]) -> None:
    boxes, labels = np.array([box], np.float32), np.array([0])
    regions, _ = sample(boxes, labels, (64, 64), count=20, fraction=1)
    assert ((regions[:, 2:] - regions[:, :2]) >= 1).all()
    assert (regions >= 0).all()
    assert (regions <= 64).all()


# With ground truth 0 (40 x 30): shifted by 8 of 40 columns, IoU 32 / 48 = 2/3; by 20, 20 / 60 = 1/3.
# Of ground truth 3 (10 x 10) the left half: IoU 1/2, which is foreground.
PROPOSALS = as_boxes([(18, 5, 58, 35), (80, 2, 85, 12), (0, 0, 3, 3), (-10, 5, 30, 35)])


def from_proposals(proposals: FloatArray, quota: list[bool], seed: int = 0) -> tuple[set[tuple[float, ...]], set[int]]:
    drawn = proposed(BOXES, LABELS, proposals, np.array(quota), seed)
    assert drawn.boxes.shape == drawn.targets.shape == (len(quota), 4)
    return {tuple(box) for box in drawn.boxes.tolist()}, set(drawn.labels.tolist())


def test_foreground_proposals_and_ground_truth() -> None:
    boxes, labels = from_proposals(PROPOSALS, [True] * 200)
    assert boxes == {tuple(box) for box in [*BOXES.tolist(), *PROPOSALS[:2].tolist()]}
    assert labels == {1, 5, 8}


def test_background_proposals() -> None:
    boxes, labels = from_proposals(PROPOSALS, [False] * 100)
    assert boxes == {tuple(box) for box in PROPOSALS[2:].tolist()}
    assert labels == {0}


def test_proposals_stand_for_the_ground_truth_that_they_overlap_most() -> None:
    # Shifted by 8 columns it overlaps ground truth 0 by 32 / 48 and ground truth 1 by 28 / 52.
    drawn = proposed(BOXES[:2], LABELS[:2], PROPOSALS[:1], np.ones(50, bool))
    chosen = (drawn.boxes == PROPOSALS[0]).all(1)
    assert chosen.any()
    assert (drawn.labels[chosen] == LABELS[0] + 1).all()
    assert (drawn.targets[chosen] == BOXES[0]).all()


def test_the_other_kind_is_taken_where_one_is_missing() -> None:
    assert from_proposals(as_boxes([]), [False] * 20)[1] == {1, 5, 8}
    drawn = proposed(as_boxes([]), LABELS[:0], PROPOSALS, np.ones(20, bool))
    assert set(drawn.labels.tolist()) == {0}


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ValueError, match="proposals or ground truth"):
        proposed(as_boxes([]), LABELS[:0], as_boxes([]), np.ones(1, bool))


def test_boxes_apart_from_ignored_objects() -> None:
    # With (0, 0, 10, 10): the left half, IoU 1/2, which is too much; a little less than half; beside it; itself.
    ignored = as_boxes([(0, 0, 10, 10), (50, 50, 60, 60)])
    boxes = as_boxes([(0, 0, 5, 10), (0, 0, 4.99, 10), (10, 0, 20, 10), (0, 0, 10, 10), (50, 50, 60, 60)])
    assert apart_from(ignored, boxes).tolist() == boxes[1:3].tolist()
    assert apart_from(as_boxes([]), boxes).tolist() == boxes.tolist()
    assert apart_from(ignored, as_boxes([])).shape == (0, 4)


def test_boxes_of_several_images_apart_from_ignored_objects() -> None:
    ignored = ObjectLists(
        [as_boxes([]), as_boxes([(0, 0, 10, 10), (50, 50, 60, 60)]), as_boxes([(0, 0, 5, 10)])],
        [LABELS[:0], LABELS[:2], LABELS[:1]],
    )[np.arange(3)]
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 5, 10), (20, 20, 30, 30), (50, 50, 60, 60), (0, 0, 5, 10)])
    kept, counts = keep_apart(ignored, boxes, np.array([1, 3, 1]))
    assert kept.tolist() == boxes[[0, 2]].tolist()
    assert counts.tolist() == [1, 1, 0]


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


@pytest.mark.parametrize("size", [(100, 100), (60, 200), (300, 90)])
def test_crops_have_the_area_and_aspect_asked_for(size: Size) -> None:
    generator = np.random.default_rng(0)
    crops = np.stack(
        [sample_crop(size, area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=generator) for _ in range(2000)]
    )
    assert_valid(crops, size)
    sides = crops[:, 2:] - crops[:, :2]
    share, aspect = sides.prod(1) / (size[0] * size[1]), sides[:, 0] / sides[:, 1]
    assert share.min() > 0.08 - 1e-4
    assert aspect.min() > 3 / 4 - 1e-4
    assert aspect.max() < 4 / 3 + 1e-4
    assert (share < 0.15).any()
    if size == (100, 100):
        # Small ones always fit, so their aspect is log-uniform: half of them are wider than high.
        small = share < 0.5
        assert abs((aspect[small] > 1).mean() - 0.5) < 0.08
        # A uniform area in 0.08-1: (0.3 - 0.08) / 0.92 = 24% of the draws are below 0.3; some above do not fit.
        assert 0.2 < (share < 0.3).mean() < 0.35


def test_crop_of_a_strip_is_central() -> None:
    # 10 x 1000: an aspect of 4/3 at most leaves 13.3 columns, 1.3% of the area; 8% never fits.
    crop = sample_crop((10, 1000), area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [500 - 20 / 3, 0, 500 + 20 / 3, 10], rtol=1e-5)
    crop = sample_crop((1000, 10), area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [0, 500 - 20 / 3, 10, 500 + 20 / 3], rtol=1e-5)


def test_whole_image_as_crop() -> None:
    crop = sample_crop((30, 40), area=(1, 1), aspect=(4 / 3, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [0, 0, 40, 30], atol=1e-4)
