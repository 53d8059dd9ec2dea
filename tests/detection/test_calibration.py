from __future__ import annotations

import numpy as np
import pytest

from detection.calibration import BetaCalibration, mean_by_log_odds

SCORES = np.array([0, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1], np.float32)
WHOLE = np.ones(1, np.float32)
"""The area of boxes that cover the whole image."""


def test_one_and_one_change_nothing() -> None:
    assert np.allclose(BetaCalibration(1, 1, 0)(SCORES, WHOLE), SCORES, rtol=1e-3, atol=1e-7)


def test_equal_slopes_are_platts_scaling() -> None:
    scores = SCORES[1:-1].astype(np.float64)
    expected = 1 / (1 + np.exp(-(0.5 * np.log(scores / (1 - scores)) - 2)))
    assert np.allclose(BetaCalibration(0.5, 0.5, -2)(SCORES, WHOLE)[1:-1], expected, rtol=1e-6)


def test_hand_worked_share() -> None:
    # s = 0.25: odds = s^2 / (1 - s)^3 * e^0 = 0.0625 / 0.421875 = 4 / 27, so the share is 4 / 31.
    assert BetaCalibration(2, 3, 0)(np.array([0.25], np.float32), WHOLE)[0] == pytest.approx(4 / 31)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0, 2), (2, 0), (0.3, 5)])
def test_shares_never_fall(a: float, b: float) -> None:
    shares = BetaCalibration(a, b, 0.7, area=0.5)(np.linspace(0, 1, 1001, dtype=np.float32), 0.3 * WHOLE)
    assert (np.diff(shares) >= 0).all()
    assert shares.dtype == np.float32
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert shares[-1] > shares[0]


def test_shape_is_kept() -> None:
    calibrate = BetaCalibration(1, 2, 0)
    assert calibrate(np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float32)).shape == (0, 4)
    assert calibrate(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)).shape == (2, 3)


def test_larger_boxes_have_more_by_a_hand_worked_factor() -> None:
    # s = 0.5: odds = 1 * r^2, so the share is 1 / 2 of the whole image, and of half of it 1 / 5.
    shares = BetaCalibration(1, 1, 0, area=2)(np.full(2, 0.5, np.float32), np.array([1, 0.5], np.float32))
    assert shares == pytest.approx([1 / 2, 1 / 5])


def test_without_the_term_areas_make_no_difference() -> None:
    calibrate = BetaCalibration(1.5, 0.5, -1)
    assert np.array_equal(calibrate(SCORES, WHOLE), calibrate(SCORES, np.zeros(7, np.float32)))


def test_steep_calibrations_do_not_overflow() -> None:
    shares = BetaCalibration(1e3, 1e3, 0)(np.array([0.001, 0.5, 0.999], np.float32), np.ones(3, np.float32))
    assert shares.tolist() == [0, 0.5, 1]


def test_boxes_without_area_keep_a_share() -> None:
    shares = BetaCalibration(1, 1, 0, area=0.5)(SCORES, np.zeros(7, np.float32))
    assert np.isfinite(shares).all()
    assert (np.diff(shares) > 0).all()


@pytest.mark.parametrize(
    "numbers",
    [(-0.1, 1, 0), (1, -0.1, 0), (0, 0, 1), (float("nan"), 1, 0), (1, 1, float("inf")), (1, 1, 0, float("nan"))],
)
def test_unusable_numbers(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        BetaCalibration(*numbers)


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_mean_by_log_odds(share: float) -> None:
    first, second = np.array([0.8, 0.5, 0.1], np.float32), np.array([0.5, 0.9, 0.1], np.float32)
    odds = (first / (1 - first)) ** (1 - share) * (second / (1 - second)) ** share  # a weighted geometric mean
    np.testing.assert_allclose(mean_by_log_odds(first, second, share), odds / (1 + odds), rtol=1e-5)


def test_mean_by_log_odds_of_certain_scores() -> None:
    mean = mean_by_log_odds(np.array([0, 1, 0, 1], np.float32), np.array([0, 1, 1, 0.5], np.float32), 0.5)
    np.testing.assert_allclose(mean, [0, 1, 0.5, 1], atol=1e-5)
    assert mean.dtype == np.float32
