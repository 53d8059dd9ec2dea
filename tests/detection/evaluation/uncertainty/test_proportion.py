"""Intervals of shares: computed by hand, for shares of 0 and 1, and compared with their definition."""

from __future__ import annotations

from math import isnan, sqrt

import pytest

from detection.evaluation.uncertainty.proportion import wilson_interval

Z = 1.959964


def test_by_hand() -> None:
    """4 of 5: centre 0.8 + z^2/10 = 1.18415 and spread z sqrt(0.16/5 + z^2/100) = 0.52010, over 1 + z^2/5 = 1.76829."""
    assert list(wilson_interval(4, 5)) == pytest.approx([0.37553, 0.96378], abs=1e-5)


@pytest.mark.parametrize(("right", "count"), [(1, 3), (10, 43), (25, 50), (999, 1000)])
def test_ends_are_z_standard_errors_away(right: int, count: int) -> None:
    for end in wilson_interval(right, count):
        assert abs(right / count - end) == pytest.approx(Z * sqrt(end * (1 - end) / count), rel=1e-5)


def test_none_and_all() -> None:
    """None of n: 0 to z^2 / (n + z^2), and all of n mirrors it."""
    high = Z**2 / (10 + Z**2)
    assert list(wilson_interval(0, 10)) == pytest.approx([0, high], rel=1e-5, abs=1e-12)
    assert list(wilson_interval(10, 10)) == pytest.approx([1 - high, 1], rel=1e-5)


def test_less_confidence_is_narrower() -> None:
    wide, narrow = wilson_interval(3, 9), wilson_interval(3, 9, confidence=0.5)
    assert wide.low < narrow.low < 3 / 9 < narrow.high < wide.high


def test_nothing_measured() -> None:
    assert all(isnan(end) for end in wilson_interval(0, 0))


@pytest.mark.parametrize("right", [-1, 6])
def test_impossible(right: int) -> None:
    with pytest.raises(ValueError, match=f"right: expected 0 to 5, got {right}"):
        wilson_interval(right, 5)
