"""Tests of regions in which all objects of a photograph come equally often, however many proposals they have."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from classifier.training.augmentation import Augmentation
from classifier.training.samples.region_pools import (
    NEAR_IOU,
    NEAR_SHARE,
    NUMBERS,
    EvenSamples,
    RegionPool,
    build_pool,
)
from classifier.training.samples.sampled_boxes import FOREGROUND_IOU
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_iou
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import SampleKey
from tests.classifier.training.samples.sampling_examples import known

Corners = tuple[float, float, float, float]

SOFA: Corners = (0, 0, 200, 100)
CUP: Corners = (300, 300, 320, 330)
CROWD: Corners = (400, 0, 480, 80)
FAR: Corners = (200, 200, 280, 280)


def photograph(boxes: list[Corners], labels: list[int], ignored: list[bool]) -> GroundTruth:
    return GroundTruth(
        "1",
        Path("1.jpg"),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(ignored, bool),
    )


@pytest.fixture(name="record")
def sofa_cup_and_crowd() -> GroundTruth:
    return photograph([SOFA, CUP, CROWD], [7, 3, 5], [False, False, True])


@pytest.fixture(name="proposals")
def proposals_of_many_kinds() -> FloatArray:
    """Forty proposals of the sofa, two near it, one of the crowd, and twenty far from everything."""
    sofas = [[0, 0, 200 - side, 100] for side in range(40)]
    return np.array([*sofas, [0, 0, 60, 100], [100, 0, 300, 100], CROWD, *[FAR] * 20], np.float32)


def draw(pool: RegionPool, count: int, *, foreground: bool) -> tuple[FloatArray, list[int], FloatArray]:
    numbers = np.random.default_rng(0).random((count, NUMBERS))
    boxes, labels, targets = pool.draw(np.full(count, foreground), numbers)
    return boxes, labels.tolist(), targets


def test_objects_come_equally_often(record: GroundTruth, proposals: FloatArray) -> None:
    boxes, labels, targets = draw(build_pool(record, proposals), 4000, foreground=True)
    assert set(labels) == {8, 4}
    assert labels.count(4) / 4000 == pytest.approx(0.5, abs=0.03)
    expected = {8: SOFA, 4: CUP}
    np.testing.assert_array_equal(targets, [expected[label] for label in labels])
    assert (np.diagonal(box_iou(boxes[:40], targets[:40])) >= FOREGROUND_IOU).all()


def test_half_of_the_background_is_near_objects(record: GroundTruth, proposals: FloatArray) -> None:
    boxes, labels, targets = draw(build_pool(record, proposals), 4000, foreground=False)
    assert set(labels) == {0}
    np.testing.assert_array_equal(targets, boxes)
    best = box_iou(boxes, record.boxes[:2]).max(axis=1)
    assert best.max() < FOREGROUND_IOU
    assert (best >= NEAR_IOU).mean() == pytest.approx(NEAR_SHARE, abs=0.03)


def test_proposals_of_ignored_objects_are_left_out(record: GroundTruth, proposals: FloatArray) -> None:
    pool = build_pool(record, proposals)
    assert len(pool.boxes) == len(proposals) + 2 - 1  # with the sofa and the cup, without the crowd
    assert box_iou(pool.boxes, np.array([CROWD], np.float32)).max() < FOREGROUND_IOU


def test_photograph_without_objects(proposals: FloatArray) -> None:
    _, labels, _ = draw(build_pool(photograph([], [], []), proposals), 50, foreground=True)
    assert set(labels) == {0}


def test_photograph_without_background(record: GroundTruth) -> None:
    _, labels, _ = draw(build_pool(record, np.zeros((0, 4), np.float32)), 50, foreground=False)
    assert set(labels) == {4, 8}


@pytest.mark.parametrize("kind", ["near", "far"])
def test_background_of_one_kind(record: GroundTruth, kind: str) -> None:
    proposals = np.array([[0, 0, 60, 100] if kind == "near" else FAR], np.float32)
    boxes, _, _ = draw(build_pool(record, proposals), 50, foreground=False)
    np.testing.assert_array_equal(boxes, np.repeat(proposals, 50, axis=0))


def test_two_objects_with_the_same_box() -> None:
    record = photograph([CUP, CUP], [1, 2], [False, False])
    _, labels, _ = draw(build_pool(record, np.array([FAR], np.float32)), 50, foreground=True)
    assert set(labels) == {2}


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ValueError, match=r"1\.jpg: expected proposals or ground truth"):
        build_pool(photograph([CROWD], [0], [True]), np.array([CROWD], np.float32))


def even_samples(records: list[GroundTruth], proposals: FloatArray) -> EvenSamples:
    samples = EvenSamples(
        records,
        per_image=20,
        foreground_fraction=0.5,
        proposals=known(proposals, "1"),
        augmentation=Augmentation(),
        seed=3,
    )
    samples.read_by(black_image)
    return samples


def black_image(_: Path) -> Image:
    return np.zeros((400, 500, 3), np.uint8)


def test_nothing_of_an_image_is_kept(record: GroundTruth, proposals: FloatArray) -> None:
    """The memory of a loader process must not grow with the number of images."""
    samples = even_samples([record], proposals)
    before = pickle.dumps(samples)
    samples[SampleKey(0, 4, 0)]
    assert pickle.dumps(samples) == before


def test_samples_of_a_batch_are_those_one_by_one(record: GroundTruth, proposals: FloatArray) -> None:
    """The proposals are cut at the borders of the image, and each foreground region has the object as its target."""
    outside = np.array([[-50, 0, 200, 100]], np.float32)
    samples = even_samples([record, record], np.concatenate([proposals, outside]))
    keys = [SampleKey(0, 4, 0), SampleKey(1, 9, 1)]
    for sample, key in zip(samples.__getitems__(keys), keys, strict=True):
        for part, expected in zip(sample.regions, samples[key].regions, strict=True):
            np.testing.assert_array_equal(part, expected)
        boxes, labels, targets = sample.regions
        assert (labels > 0).sum() == 10
        assert boxes.min() >= 0
        assert (np.diagonal(box_iou(boxes, targets))[labels > 0] >= FOREGROUND_IOU).all()
