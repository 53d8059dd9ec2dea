"""Averages over models and crops agree with a loop over single crops; errors and confusions with counting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_weights
from classifier.warp.crop import warp_regions
from classifier.whole_images import classification
from classifier.whole_images.classification import (
    average_probabilities,
    best_classes,
    confusion_counts,
    top_k_error,
    worst_confusions,
)
from classifier.whole_images.crops import cut_crops, evaluation_crops
from classifier.whole_images.image_classifier import ImageClassifier
from detection.runtime.pixels import SCALE
from detection.structures.arrays import FloatArray, Image, IntArray
from tests.classifier.scoring.member_examples import Write


@pytest.fixture(name="weights", scope="module")
def weights_files(write: Write) -> list[Path]:
    """Two networks of three classes with different input sizes, one of them with background."""
    return [Path(write(0)), Path(write(1, size=40, background=False))]


@pytest.fixture(name="images", scope="module")
def random_images() -> list[Image]:
    """Blobs of random colours, in landscape, portrait and square."""
    generator = np.random.default_rng(0)
    coarse = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((4, 6), (5, 3), (4, 4))]
    return [image.repeat(10, axis=0).repeat(10, axis=1) for image in coarse]


def exact(path: Path, batch_size: int = 64) -> ImageClassifier:
    return ImageClassifier(str(path), device="cpu", precision="float32", batch_size=batch_size)


def naive_average(models: Sequence[tuple[nn.Module, NetworkDescription]], image: Image, count: int) -> FloatArray:
    """One crop of one model after the other."""
    boxes, mirrored = evaluation_crops((image.shape[0], image.shape[1]), count)
    pixels = torch.from_numpy(image)[None]
    scores = []
    for network, description in models:
        for box, mirror in zip(torch.from_numpy(boxes), mirrored, strict=True):
            crop = warp_regions(pixels, box.view(1, 1, 4), size=description.input_size)[0]
            with torch.inference_mode():
                logits = network((crop.flip(3) if mirror else crop) * SCALE)
            scores.append(logits[0, 1:].softmax(0) if description.background else logits[0].softmax(0))
    mean: FloatArray = torch.stack(scores).mean(dim=0).numpy()
    return mean


def test_averages_of_models_and_crops(weights: list[Path], images: list[Image]) -> None:
    classifiers = [exact(path, batch_size=7) for path in weights]
    actual = average_probabilities(classifiers, images, [10, 1])
    assert actual.shape == (2, 2, 3, 3)
    networks = [load_weights(path) for path in weights]
    for models, crops, picture in product((1, 2), (0, 1), (0, 1, 2)):
        expected = naive_average(networks[:models], images[picture], (10, 1)[crops])
        np.testing.assert_allclose(actual[models - 1, crops, picture], expected, atol=1e-4)
    np.testing.assert_allclose(actual.sum(axis=-1), 1, atol=1e-5)
    assert np.ptp(actual[:, :, :, 0], axis=1).max() > 0.01  # more crops do make a difference
    assert np.ptp(actual[:, :, :, 0], axis=0).max() > 0.01  # and so does the second model


def test_repeated_crops_count_repeatedly(weights: list[Path], images: list[Image]) -> None:
    classifier, square = exact(weights[0]), images[2]
    all_crops = cut_crops(square, evaluation_crops((40, 40), 144), size=32, device=classifier.device)
    expected = classifier.probabilities(all_crops).mean(dim=0).numpy()
    np.testing.assert_allclose(average_probabilities([classifier], [square], [144])[0, 0, 0], expected, atol=1e-5)


def test_each_crop_is_scored_once(weights: list[Path], images: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    probabilities = ImageClassifier.probabilities

    def counted(self: ImageClassifier, crops: torch.Tensor) -> torch.Tensor:
        scored.append(len(crops))
        return probabilities(self, crops)

    monkeypatch.setattr(ImageClassifier, "probabilities", counted)
    average_probabilities([exact(weights[0])], images, [1, 10, 144])
    assert scored == [126 + 126 + 42]  # see tests of the crops


def test_models_of_one_size_share_the_crops(
    weights: list[Path], images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = []

    def counted(*_: object, size: int, device: torch.device) -> torch.Tensor:
        cut.append(size)
        return torch.zeros(1, 3, size, size, device=device)

    monkeypatch.setattr(classification, "cut_crops", counted)
    classifiers = [exact(path) for path in (weights[0], weights[1], weights[0])]
    average_probabilities(classifiers, images[:1], [1])
    assert cut == [32, 40]


@pytest.mark.parametrize("missing", ["classifiers", "images", "counts"])
def test_empty_arguments_are_refused(weights: list[Path], images: list[Image], missing: str) -> None:
    arguments: dict[str, Any] = {"classifiers": [exact(weights[0])], "images": images, "counts": [1], missing: []}
    with pytest.raises(ValueError, match="expected classifiers, images and counts, got"):
        average_probabilities(**arguments)


def test_best_classes() -> None:
    probabilities = np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.2, 0.4, 0.4]], np.float32)
    assert best_classes(probabilities, 2).tolist() == [[1, 2], [2, 0], [1, 2]]  # ties in order
    assert best_classes(probabilities, 5).tolist() == [[1, 2, 0], [2, 0, 1], [1, 2, 0]]
    assert best_classes(np.zeros((0, 3), np.float32), 2).shape == (0, 2)


def test_top_k_error_by_hand() -> None:
    best = np.array([[1, 2, 0], [2, 0, 1], [1, 0, 2], [0, 1, 2]])
    labels = np.array([1, 0, 2, 0])  # first, second, third, first
    assert [top_k_error(best, labels, k) for k in (1, 2, 3, 5)] == [0.5, 0.25, 0, 0]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_error_agrees_with_counting(k: int) -> None:
    generator = np.random.default_rng(k)
    probabilities, labels = generator.random((200, 12), np.float32), generator.integers(0, 12, 200)
    wrong = 0
    for row, label in zip(probabilities, labels, strict=True):
        wrong += sum(value > row[label] for value in row) >= k
    assert top_k_error(best_classes(probabilities, 5), labels, k) == pytest.approx(wrong / 200)


def test_top_k_error_of_nothing() -> None:
    assert math.isnan(top_k_error(np.zeros((0, 5), np.int64), np.zeros(0, np.int64), 1))


@pytest.mark.parametrize(
    ("best", "labels", "k"),
    [
        (np.zeros((2, 5), np.int64), np.zeros(3, np.int64), 1),
        (np.zeros(2, np.int64), np.zeros(2, np.int64), 1),
        (np.zeros((2, 5), np.int64), np.zeros(2, np.int64), 0),
    ],
)
def test_top_k_error_of_arrays_that_do_not_fit(best: IntArray, labels: IntArray, k: int) -> None:
    with pytest.raises(ValueError, match="expected classes"):
        top_k_error(best, labels, k)


def test_confusions_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 2, 2, 1, 0, 2])
    counts = confusion_counts(predicted, labels, 3)
    assert counts.tolist() == [[1, 0, 2], [0, 1, 0], [1, 0, 1]]
    assert worst_confusions(counts, 10) == [(0, 2, 2), (2, 0, 1)]
    assert worst_confusions(counts, 1) == [(0, 2, 2)]
    assert worst_confusions(counts, 0) == []


def test_confusions_agree_with_counting() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 6, 300), generator.integers(0, 6, 300)
    naive = np.zeros((6, 6), int)
    for label, other in zip(labels, predicted, strict=True):
        naive[label, other] += 1
    counts = confusion_counts(predicted, labels, 6)
    assert np.array_equal(counts, naive)
    pairs = [(-naive[i, j], i, j) for i in range(6) for j in range(6) if i != j and naive[i, j]]
    assert worst_confusions(counts, 30) == [(i, j, -count) for count, i, j in sorted(pairs)]


def test_confusions_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert confusion_counts(none, none, 2).tolist() == [[0, 0], [0, 0]]
    assert worst_confusions(confusion_counts(none, none, 2), 10) == []


@pytest.mark.parametrize(
    ("predicted", "labels", "reason"),
    [
        ([0, 1], [0], r"expected two arrays \[N\], got \(2,\) and \(1,\)"),
        ([[0]], [[0]], r"expected two arrays \[N\]"),
        ([3], [0], "expected classes of 0 to 2, got 0 to 3"),
        ([0], [-1], "expected classes of 0 to 2, got -1 to 0"),
    ],
)
def test_bad_confusions(predicted: list[int], labels: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        confusion_counts(np.array(predicted), np.array(labels), 3)
