"""Tests of R-CNN's SVMs: the settings of the solver, and which negatives the mining keeps and drops."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.training.rcnn_heads import svm
from classifier.training.rcnn_heads.svm import HardNegativeMining, class_overlaps, feature_scale, fit_svm
from detection.structures.arrays import FloatArray

NOTHING = np.zeros((0, 4), np.float32)


def clusters(seed: int, centres: FloatArray, count: int, *, spread: float) -> FloatArray:
    """Return random points [len(centres) * count, F] around centres [K, F]."""
    noise = np.random.default_rng(seed).normal(0, spread, (len(centres) * count, centres.shape[1]))
    return (np.repeat(centres, count, axis=0) + noise).astype(np.float32)


def objective(weight: FloatArray, bias: float, positives: FloatArray, negatives: FloatArray) -> float:
    """Return what R-CNN minimises: the hinge losses, those of positives twice, and half the squared weights."""
    hinge = 2 * np.maximum(0, 1 - positives @ weight - bias).sum() + np.maximum(0, 1 + negatives @ weight + bias).sum()
    return float(0.001 * hinge + 0.5 * weight @ weight + 0.5 * (bias / 10) ** 2)


def test_hand_derived_svm() -> None:
    # Positives at 100, negatives at -100. With w = 0.01 and no bias both margins are exactly 1 and no loss is left, at
    # w^2 / 2 = 0.00005. The cost of a nearer plane, 0.001 a unit of margin and example, is far higher.
    positives, negatives = np.full((40, 1), 100, np.float32), np.full((40, 1), -100, np.float32)
    weight, bias = fit_svm(positives, negatives, seed=0)
    assert weight == pytest.approx([0.01], rel=1e-2)
    assert bias == pytest.approx(0, abs=1e-2)


def test_hand_derived_costs() -> None:
    # All at zero, so only the bias b counts: 2 * 0.001 * max(0, 1 - b) + 0.001 * max(0, 1 + b) + (b / 10)^2 / 2 for one
    # of each. Between -1 and 1 the slope is -0.002 + 0.001 + b / 100, which is 0 at b = 0.1.
    weight, bias = fit_svm(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), seed=0)
    assert weight.tolist() == [0, 0, 0]
    assert bias == pytest.approx(0.1, rel=1e-2)


def test_reaches_the_minimum_of_its_objective() -> None:
    centres = np.random.default_rng(0).normal(0, 1, (2, 16)).astype(np.float32)
    positives, negatives = (clusters(1 + label, centres[[label]], (30, 200)[label], spread=2) for label in range(2))
    scale = np.float32(feature_scale(negatives))
    positives, negatives = positives * scale, negatives * scale
    weight, bias = fit_svm(positives, negatives, seed=0)
    reached = objective(weight, bias, positives, negatives)
    generator = np.random.default_rng(3)
    for size in (1e-4, 1e-3, 1e-2):
        for _ in range(50):
            other = weight + generator.normal(0, size, 16).astype(np.float32)
            nearby = objective(other, bias + 10 * generator.normal(0, size), positives, negatives)
            assert nearby > 0.9999 * reached
    assert reached < 0.9 * objective(np.zeros(16, np.float32), 0, positives, negatives)


def test_separable_features_are_separated() -> None:
    centres = np.eye(8, dtype=np.float32)[:2] * 20
    positives, negatives = clusters(4, centres[:1], 10, spread=0.5), clusters(5, centres[1:], 100, spread=0.5)
    weight, bias = fit_svm(positives, negatives, seed=0)
    assert (positives @ weight + bias > 0).all()
    assert (negatives @ weight + bias < 0).all()


@pytest.fixture(name="pool", scope="module")
def overlapping_classes() -> tuple[list[FloatArray], list[FloatArray], list[FloatArray]]:
    """Return positives of three classes, and features and overlaps of 25 regions in each of 120 images."""
    generator = np.random.default_rng(6)
    centres = generator.normal(0, 1.5, (3, 12)).astype(np.float32)
    positives = [clusters(7 + label, centres[label : label + 1], 25, spread=0.7) for label in range(3)]
    features, overlaps = [], []
    for image in range(120):
        near = clusters(100 + image, 0.4 * centres[[image % 3]], 5, spread=1.0)
        far = clusters(300 + image, np.zeros((1, 12), np.float32), 20, spread=1.0)
        features.append(np.concatenate([near, far]))
        iou = np.zeros((25, 3), np.float32)
        iou[:5, image % 3] = generator.uniform(0.1, 0.9, 5)
        overlaps.append(iou)
    scale = np.float32(feature_scale(np.concatenate(features)))
    return [part * scale for part in positives], [part * scale for part in features], overlaps


@pytest.mark.parametrize("retrain_after", [200, 2000])
def test_mining_comes_close_to_all_negatives_at_once(
    pool: tuple[list[FloatArray], list[FloatArray], list[FloatArray]],
    retrain_after: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(svm, "RETRAIN_AFTER", retrain_after)
    positives, features, overlaps = pool
    mining = HardNegativeMining(positives, seed=0)
    for image_features, iou in zip(features, overlaps, strict=True):
        mining.add_image(image_features, iou)
    head = mining.finish()
    for label in range(3):
        negatives = np.concatenate([part[iou[:, label] < 0.3] for part, iou in zip(features, overlaps, strict=True)])
        weight, bias = fit_svm(positives[label], negatives, seed=0)
        best = objective(weight, bias, positives[label], negatives)
        mined = objective(head.weight[label], float(head.bias[label]), positives[label], negatives)
        assert best * 0.999 < mined < best * 1.01
        assert (positives[label] @ weight + bias).mean() > 0.5  # there is something to find
        assert np.corrcoef(negatives @ weight, negatives @ head.weight[label])[0, 1] > 0.98
        held = len(mining.held(label))
        assert held < 0.9 * len(negatives)  # the easy ones were dropped, or never taken


def test_regions_near_an_object_of_the_class_are_no_negatives() -> None:
    positives = [np.full((2, 1), 20, np.float32), np.full((2, 1), -20, np.float32)]
    mining = HardNegativeMining(positives, seed=0)
    features = np.array([[1], [2], [3]], np.float32)
    mining.add_image(features, np.array([[0.3, 0], [0.29, 1], [0, 0.5]], np.float32))
    assert mining.held(0).tolist() == [[2], [3]]  # 0.3 itself is near
    assert mining.held(1).tolist() == [[1]]


def test_only_hard_negatives_are_taken_and_easy_ones_dropped() -> None:
    mining = HardNegativeMining([np.full((5, 1), 100, np.float32)], seed=0)
    # One far outlier, and many that fix the margin of -1 at about -100: the outlier lies beyond it, and is dropped.
    far, border = np.full((1, 1), -300, np.float32), np.full((50, 1), -100, np.float32)
    mining.add_image(np.concatenate([far, border]), np.zeros((51, 1), np.float32))
    assert mining.held(0).tolist() == border.tolist()
    new = np.array([[-300], [-50], [-90], [-110]], np.float32)
    margins = new @ mining.weight.T + mining.bias
    assert (margins > svm.HARD_MARGIN).ravel().tolist() == [False, True, True, False]
    mining.add_image(new, np.zeros((4, 1), np.float32))
    assert mining.held(0)[50:].tolist() == [[-50], [-90]]


def test_trains_at_the_first_image_then_when_enough_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counting_fit(positives: FloatArray, negatives: FloatArray, *, seed: int) -> tuple[FloatArray, float]:
        sizes.append(len(negatives))
        return np.full(positives.shape[1], 0.0, np.float32), float(seed)  # margins of 0: all stay hard

    monkeypatch.setattr(svm, "fit_svm", counting_fit)
    monkeypatch.setattr(svm, "RETRAIN_AFTER", 6)
    mining = HardNegativeMining([np.ones((1, 2), np.float32)], seed=0)
    for _ in range(5):
        mining.add_image(np.ones((3, 2), np.float32), np.zeros((3, 1), np.float32))
    assert sizes == [3, 12]  # 6 added is not more than 6
    mining.finish()
    assert sizes == [3, 12, 15]
    mining.finish()
    assert sizes == [3, 12, 15]  # nothing new


def test_seed_decides() -> None:
    positives, negatives = (
        clusters(8, np.ones((1, 20), np.float32), 50, spread=5),
        clusters(9, -np.ones((1, 20), np.float32), 500, spread=5),
    )
    first, again = fit_svm(positives, negatives, seed=1), fit_svm(positives, negatives, seed=1)
    assert first[0].tolist() == again[0].tolist()
    assert first[1] == again[1]


def test_class_without_positives_is_named() -> None:
    with pytest.raises(ValueError, match="class 1 must have positives, got none"):
        HardNegativeMining([np.ones((1, 2), np.float32), np.zeros((0, 2), np.float32)], seed=0)


def test_class_without_negatives_is_named() -> None:
    mining = HardNegativeMining([np.ones((1, 2), np.float32)] * 2, seed=0)
    mining.add_image(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    mining.add_image(np.ones((1, 2), np.float32), np.array([[0, 1]], np.float32))
    with pytest.raises(ValueError, match="class 1 must have negatives, got none"):
        mining.finish()


def test_feature_scale() -> None:
    features = np.array([[3, 4], [0, 15]], np.float32)  # norms 5 and 15, 10 on average
    assert feature_scale(features) == pytest.approx(2)


@pytest.mark.parametrize("count", [0, 3])
def test_features_without_a_norm_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"not zero, got {count} vectors"):
        feature_scale(np.zeros((count, 2), np.float32))


def test_overlaps_of_each_class() -> None:
    regions = np.array([[0, 0, 10, 10], [100, 0, 110, 10]], np.float32)
    # IoU with the first region: 1/2, 1, 0; the first two are of class 2.
    boxes = np.array([[0, 0, 20, 10], [0, 0, 10, 10], [100, 0, 120, 10]], np.float32)
    overlaps = class_overlaps(regions, boxes, np.array([2, 2, 0]), num_classes=4)
    assert overlaps.tolist() == [[0, 0, 1, 0], [0.5, 0, 0, 0]]


def test_overlaps_of_nothing() -> None:
    labels = np.zeros(0, np.int64)
    assert class_overlaps(NOTHING, NOTHING, labels, num_classes=2).shape == (0, 2)
    regions = np.array([[0, 0, 1, 1]], np.float32)
    assert class_overlaps(regions, NOTHING, labels, num_classes=2).tolist() == [[0, 0]]
