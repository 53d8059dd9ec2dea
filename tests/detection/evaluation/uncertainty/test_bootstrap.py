from __future__ import annotations

import math

import numpy as np
import pytest

from detection.evaluation import score
from detection.evaluation.uncertainty.bootstrap import (
    Interval,
    bootstrap_intervals,
    draw_images,
    nan_mean,
    resampled_average_precision,
    unbiased_interval,
)
from detection.evaluation.uncertainty.comparison import compare
from detection.structures.arrays import FloatArray
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

IMAGES = 25


def random_split(seed: int, *, noise: float = 0.25) -> tuple[SplitObjects, SplitDetections]:
    """Always the same objects of three classes, one of them rare; detections are better the smaller `noise` is."""
    generator = np.random.default_rng(7)
    index = split_index([str(row) for row in range(IMAGES)], ("cat", "dog", "owl", "unicorn"))
    images = generator.integers(IMAGES, size=60)
    labels = generator.choice(3, p=[0.6, 0.35, 0.05], size=60)
    boxes = np.hstack([generator.uniform(0, 200, (60, 2)), generator.uniform(30, 90, (60, 2))])
    nothing = np.zeros(60, np.bool_)
    objects = SplitObjects(index, images, labels, boxes, nothing, nothing, boxes[:, 2] * boxes[:, 3])
    generator = np.random.default_rng(seed)
    around = np.repeat(boxes, 3, axis=0)
    around = around + generator.normal(0, noise, around.shape) * around[:, [2, 3, 2, 3]]
    around[:, 2:] = np.maximum(around[:, 2:], 1)
    found = SplitDetections(index, np.repeat(images, 3), np.repeat(labels, 3), around, generator.random(180))
    return objects, found


def replicate(
    objects: SplitObjects, detections: SplitDetections, counts: FloatArray
) -> tuple[SplitObjects, SplitDetections]:
    """Return the split of a resample: each image occurs as often as it was drawn, with a new name each time."""
    chosen = np.repeat(np.arange(IMAGES), counts.astype(np.int64))
    index = split_index([f"{row}-{copy}" for copy, row in enumerate(chosen)], objects.index.class_names)
    parts = []
    for table in (objects, detections):
        rows = [np.flatnonzero(table.images == row) for row in chosen]
        columns = {name: value[np.concatenate(rows)] for name, value in vars(table).items() if name != "index"}
        columns["images"] = np.repeat(np.arange(len(chosen)), [len(item) for item in rows])
        parts.append(type(table)(index=index, **columns))
    return parts[0], parts[1]  # type: ignore[return-value]


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "voc", "coco"])
def test_resample_is_the_score_of_the_images_drawn(rule: str) -> None:
    split = random_split(0)
    draws = draw_images(IMAGES, resamples=6, seed=3)
    resampled = resampled_average_precision(score(*split, rule), draws)
    assert resampled.shape == (4, 6)
    for column in range(6):
        expected = score(*replicate(*split, draws[:, column]), rule).average_precision
        np.testing.assert_allclose(resampled[:, column], expected, atol=1e-9)
    assert np.isnan(resampled[3]).all()
    assert np.nanstd(resampled[0]) > 0


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "coco"])
def test_every_image_once_is_the_score_itself(rule: str) -> None:
    metrics = score(*random_split(1), rule)
    resampled = resampled_average_precision(metrics, np.ones((IMAGES, 1), np.float32))
    np.testing.assert_allclose(resampled[:, 0], metrics.average_precision, atol=1e-12)


def test_draws_are_of_as_many_images_and_follow_from_the_seed() -> None:
    draws = draw_images(IMAGES, resamples=200, seed=1)
    assert draws.sum(axis=0).tolist() == [IMAGES] * 200
    assert draws.mean(axis=1) == pytest.approx(1, abs=0.4)
    np.testing.assert_array_equal(draws, draw_images(IMAGES, resamples=200, seed=1))
    assert not np.array_equal(draws, draw_images(IMAGES, resamples=200, seed=2))


def test_more_resamples_than_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, draws = score(*random_split(2), "voc"), draw_images(IMAGES, resamples=20)
    whole = resampled_average_precision(metrics, draws)
    monkeypatch.setattr("detection.evaluation.uncertainty.bootstrap.RESAMPLES_AT_ONCE", 7)
    np.testing.assert_array_equal(resampled_average_precision(metrics, draws), whole)


def test_intervals_are_around_the_score() -> None:
    metrics = score(*random_split(0), "voc")
    intervals = bootstrap_intervals(metrics, draw_images(IMAGES, resamples=300))
    mean = intervals.mean_average_precision
    assert mean.low < metrics.mean_average_precision < mean.high
    assert mean.high - mean.low < 0.5
    for label in range(2):
        assert 0 <= intervals.average_precision[label].low < metrics.average_precision[label]
    assert all(map(math.isnan, intervals.average_precision[3]))
    narrow = bootstrap_intervals(metrics, draw_images(IMAGES, resamples=300), confidence=0.5)
    assert mean.low < narrow.mean_average_precision.low < narrow.mean_average_precision.high < mean.high


def test_interval_by_hand() -> None:
    # Of 0, 1, ..., 100, whose mean is 50, the middle 90% are 5 to 95; what is not known is passed over.
    values = np.append(np.arange(101.0), np.nan)
    assert unbiased_interval(values, 50, 0.9) == pytest.approx((5, 95))
    assert unbiased_interval(values, 47, 0.9) == pytest.approx((2, 92))
    assert all(map(math.isnan, unbiased_interval(np.full(3, np.nan), math.nan, 0.9)))


def test_interval_of_a_score_that_most_resamples_exceed() -> None:
    # One object a class, found by the second of two detections: a precision of 1/2. Without the image of the first it
    # is 1, and never below 1/2.
    names = tuple(f"class {label}" for label in range(50))
    index = split_index([str(row) for row in range(100)], names)
    boxes, nothing = np.tile([0.0, 0.0, 50.0, 50.0], (50, 1)), np.zeros(50, np.bool_)
    objects = SplitObjects(index, np.arange(50), np.arange(50), boxes, nothing, nothing, np.full(50, 2500.0))
    images, labels = np.concatenate([np.arange(50), np.arange(50, 100)]), np.tile(np.arange(50), 2)
    detections = SplitDetections(index, images, labels, np.tile(boxes, (2, 1)), np.repeat([0.1, 0.9], 50))
    metrics, draws = score(objects, detections, "voc"), draw_images(100, resamples=200)
    assert metrics.mean_average_precision == pytest.approx(0.5)
    resampled = resampled_average_precision(metrics, draws)
    assert np.nanmin(nan_mean(resampled)) > 0.5
    intervals = bootstrap_intervals(metrics, draws)
    assert intervals.mean_average_precision.low < 0.5 < intervals.mean_average_precision.high
    assert all(0 <= item.low < item.high <= 1 for item in intervals.average_precision)


def test_mean_leaves_out_what_is_unknown() -> None:
    means = nan_mean(np.array([[0.2, np.nan, np.nan], [0.4, 0.6, np.nan]]))
    np.testing.assert_allclose(means, [0.3, 0.6, np.nan])


def test_better_detections_win() -> None:
    worse, better = score(*random_split(0, noise=0.3), "voc"), score(*random_split(1, noise=0.1), "voc")
    comparison = compare(worse, better, draw_images(IMAGES, resamples=300))
    assert comparison.difference == pytest.approx(better.mean_average_precision - worse.mean_average_precision)
    assert 0 < comparison.interval.low < comparison.difference < comparison.interval.high
    assert comparison.share_better > 0.95
    assert (comparison.differences > 0).tolist()[:2] == [True, True]
    assert np.isnan(comparison.differences[3])  # a class without objects
    assert not comparison.certain[3]
    assert comparison.certain[0]


def test_pairing_narrows_the_interval() -> None:
    # The same detections but for those of one image: only draws of that image make a difference.
    objects, found = random_split(0)
    changed = found[found.images != objects.images[0]]
    first, second = score(objects, found, "voc"), score(objects, changed, "voc")
    comparison = compare(first, second, draw_images(IMAGES, resamples=300))
    alone = bootstrap_intervals(first, draw_images(IMAGES, resamples=300)).mean_average_precision
    assert comparison.interval.high - comparison.interval.low < 0.5 * (alone.high - alone.low)


def test_result_against_itself() -> None:
    metrics = score(*random_split(0), "ilsvrc")
    comparison = compare(metrics, metrics, draw_images(IMAGES, resamples=50))
    assert comparison.interval == Interval(0, 0)
    assert comparison.difference == comparison.share_better == 0
    assert not (comparison.differences > 0).any()
    assert not comparison.certain.any()


def test_only_results_on_the_same_split_compare() -> None:
    objects, found = random_split(0)
    metrics, draws = score(objects, found, "voc"), draw_images(IMAGES, resamples=5)
    with pytest.raises(ValueError, match="the same rule, got voc and ilsvrc"):
        compare(metrics, score(objects, found, "ilsvrc"), draws)
    with pytest.raises(ValueError, match="the same objects"):
        compare(metrics, score(objects[objects.images > 0], found, "voc"), draws)
    other = replicate(objects, found, np.ones(IMAGES, np.float32))
    with pytest.raises(ValueError, match="the same images and classes"):
        compare(metrics, score(*other, "voc"), draws)
