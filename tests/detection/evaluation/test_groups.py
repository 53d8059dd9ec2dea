from __future__ import annotations

import numpy as np

from detection.evaluation.groups import first_largest, is_new, sort_stably


def test_new_values() -> None:
    assert is_new(np.array([4, 4, 5, 4])).tolist() == [True, False, True, True]
    assert is_new(np.zeros(0)).tolist() == []


def test_first_of_the_largest_of_each_group() -> None:
    # Groups 1 3 3, 2, 5 0 5 with their largest at 1, 3 and 4; the 3 of the first group is no largest of the last.
    values = np.array([1.0, 3, 3, 2, 5, 0, 5])
    assert first_largest(values, np.array([0, 3, 4])).tolist() == [1, 3, 4]
    assert first_largest(np.zeros(0), np.zeros(0, np.int64)).tolist() == []


def test_agrees_with_a_loop() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(4, size=200).astype(np.float64)
    starts = np.unique([0, *generator.integers(200, size=60)])
    expected = [start + int(part.argmax()) for start, part in zip(starts, np.split(values, starts[1:]), strict=True)]
    assert first_largest(values, starts).tolist() == expected


def test_equal_values_stay_in_their_order() -> None:
    assert sort_stably(np.array([2.0, -0.0, 1, 0, 2])).tolist() == [1, 3, 2, 0, 4]
    assert sort_stably(np.zeros(0)).tolist() == []
    values = np.random.default_rng(0).random(5000).round(2)
    np.testing.assert_array_equal(sort_stably(values), np.argsort(values, kind="stable"))
