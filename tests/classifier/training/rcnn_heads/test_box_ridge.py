"""Tests of the ridge regression of boxes against the longer computation of R-CNN's code."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from classifier.training.rcnn_heads import box_ridge
from classifier.training.rcnn_heads.box_ridge import BoxRidge
from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.arrays import FloatArray, IntArray


def fit_box_ridge(features: FloatArray, deltas: FloatArray, labels: IntArray, *, num_classes: int) -> LinearHead:
    """Fit the head to regions that are all added at once."""
    ridge = BoxRidge(10 if features.ndim == 1 else features.shape[1], num_classes=num_classes)
    ridge.add(features, deltas, labels)
    return ridge.finish()


def regions(seed: int, count: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return features with a mean norm of about 20, deltas that depend on them, and labels 0, 1 and 3."""
    generator = np.random.default_rng(seed)
    features = generator.normal(0, 20 / np.sqrt(10), (count, 10)).astype(np.float32)
    slope = generator.normal(0, 0.1, (10, 4))
    deltas = features @ slope + generator.normal(0.5, 0.3, (count, 4))
    return features, deltas.astype(np.float32), generator.choice([0, 1, 3], count)


def test_hand_derived_weights() -> None:
    # One feature x = +-20, target +-1 + 3: centred +-1, sum x^2 = 1600, sum x y = 80. w = 80 / (1600 + 1000).
    features, deltas = np.array([[20], [-20]] * 2, np.float32), np.array([[4.0] * 4, [2.0] * 4] * 2, np.float32)
    head = fit_box_ridge(features, deltas, np.zeros(4, np.int64), num_classes=1)
    np.testing.assert_allclose(head.weight, np.full((4, 1), 80 / 2600), rtol=1e-6)
    np.testing.assert_allclose(head.bias, [3, 3, 3, 3], rtol=1e-6)


def oracle(features: FloatArray, deltas: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit one class as R-CNN's code does: it centres and decorrelates the targets, fits, and reverses both."""
    inputs = np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
    mean = deltas.astype(np.float64).mean(axis=0)
    centred = deltas - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    whiten = vectors @ np.diag(1 / np.sqrt(values + 0.001)) @ vectors.T
    restore = vectors @ np.diag(np.sqrt(values + 0.001)) @ vectors.T
    beta = np.stack([
        np.linalg.inv(inputs.T @ inputs + 1000 * np.eye(inputs.shape[1])) @ inputs.T @ column
        for column in (centred @ whiten).T
    ], axis=1)  # fmt: skip
    predict = beta @ restore
    return predict[:-1].T, predict[-1] + mean


def test_agrees_with_a_loop_over_classes() -> None:
    features, deltas, labels = regions(0, 300)
    head = fit_box_ridge(features, deltas, labels, num_classes=4)
    assert head.weight.shape == (16, 10)
    assert head.weight.dtype == head.bias.dtype == np.float32
    for label in (0, 1, 3):
        weight, bias = oracle(features[labels == label], deltas[labels == label])
        np.testing.assert_allclose(head.weight[4 * label : 4 * label + 4], weight, atol=1e-6)
        np.testing.assert_allclose(head.bias[4 * label : 4 * label + 4], bias, atol=1e-5)


@pytest.mark.parametrize("rows_at_once", [1, 50, 10**6])
def test_regions_that_pass_by_image_by_image(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, deltas, labels = regions(4, 300)
    expected = fit_box_ridge(features, deltas, labels, num_classes=4)
    monkeypatch.setattr(box_ridge, "ROWS_AT_ONCE", rows_at_once)
    ridge = BoxRidge(10, num_classes=4)
    for start in range(0, 300, 7):
        part = slice(start, start + 7)
        ridge.add(features[part], deltas[part], labels[part])
    head = ridge.finish()
    np.testing.assert_allclose(head.weight, expected.weight, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(head.bias, expected.bias, rtol=1e-5)


def test_memory_does_not_grow_with_the_regions() -> None:
    # 40 blocks of 1,024 regions with 50 features: 8.2 MB of them, of which one block waits, beside sums of 51 x 55.
    generator = np.random.default_rng(0)
    ridge, held = BoxRidge(50, num_classes=1), []
    tracemalloc.start()
    for _ in range(40):
        features, deltas = generator.random((1024, 50), np.float32), generator.random((1024, 4), np.float32)
        ridge.add(features, deltas, np.zeros(1024, np.int64))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held) < 1e6


def test_explains_the_deltas() -> None:
    features, deltas, labels = regions(1, 3000)
    head = fit_box_ridge(features, deltas, labels, num_classes=4)
    chosen = labels == 1
    predicted = features[chosen] @ head.weight[4:8].T + head.bias[4:8]
    assert np.square(predicted - deltas[chosen]).mean() < 0.15 * deltas[chosen].var()


def test_class_without_regions_leaves_its_boxes() -> None:
    head = fit_box_ridge(*regions(2, 50), num_classes=5)
    for label in (2, 4):
        assert not head.weight[4 * label : 4 * label + 4].any()
        assert not head.bias[4 * label : 4 * label + 4].any()
    assert head.weight[12:16].all()


def test_one_region_gives_its_own_delta_as_constant() -> None:
    deltas = np.array([[1, -2, 3, 0]], np.float32)
    head = fit_box_ridge(np.ones((1, 5), np.float32), deltas, np.zeros(1, np.int64), num_classes=1)
    assert not head.weight.any()
    assert head.bias.tolist() == [1, -2, 3, 0]


def test_no_regions() -> None:
    empty = np.zeros((0, 6), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    head = fit_box_ridge(*empty, num_classes=2)
    assert head.weight.shape == (8, 6)
    assert not head.bias.any()


@pytest.mark.parametrize("label", [-1, 3])
def test_refuses_unknown_labels(label: int) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0-2, got {label} to {label}"):
        fit_box_ridge(np.ones((1, 2), np.float32), np.ones((1, 4), np.float32), np.array([label]), num_classes=3)


@pytest.mark.parametrize("shapes", [((2,), (2, 4), (2,)), ((2, 3), (3, 4), (2,)), ((2, 3), (2, 4), (3,))])
def test_refuses_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...]) -> None:
    features, deltas = (np.zeros(shape, np.float32) for shape in shapes[:2])
    with pytest.raises(ValueError, match=r"must have shapes \[N, \d+\], \[N, 4\] and \[N\]"):
        fit_box_ridge(features, deltas, np.zeros(shapes[2], np.int64), num_classes=3)


def test_layer_undoes_the_scale() -> None:
    generator = np.random.default_rng(3)
    head = LinearHead(generator.normal(size=(3, 5)).astype(np.float32), generator.normal(size=3).astype(np.float32))
    features = generator.normal(size=(7, 5)).astype(np.float32)
    layer = head.layer(2.5)
    expected = (features * 2.5) @ head.weight.T + head.bias
    actual = features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-5)
