"""Tests of `jitter_boxes` and `random_boxes`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from classifier.training.samples.random_boxes import jitter_boxes, random_boxes
from detection.structures.arrays import FloatArray
from tests.classifier.training.samples.sampling_examples import Size, assert_valid, numbers_for


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
