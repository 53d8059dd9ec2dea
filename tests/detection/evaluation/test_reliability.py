from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.arrays import BoolArray
from detection.calibration import BetaCalibration
from detection.evaluation.reliability import fit_calibration, judge, reliability
from detection.evaluation.scoring import score
from detection.tables import DetectionTable, ObjectTable, split_index


def draws(calibration: BetaCalibration, count: int) -> tuple[NDArray[np.float64], BoolArray]:
    """Scores, and what is right when these are its true shares."""
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 1, count)
    return scores, generator.uniform(0, 1, count) < calibration(scores.astype(np.float32))


def test_bins_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.5, 0.7, 1.0])
    found = reliability(scores, np.array([False, True, True, True, False]), bins=2)
    assert found.counts.tolist() == [2, 3]
    assert found.scores == pytest.approx([0.15, 2.2 / 3])
    assert found.shares == pytest.approx([1 / 2, 2 / 3])
    assert found.expected_error == pytest.approx((2 * 0.35 + 3 * (2.2 - 2) / 3) / 5)


def test_empty_bins_do_not_count() -> None:
    found = reliability(np.array([0.25, 0.25, 0.25, 0.25]), np.array([True, False, False, False]))
    assert np.isnan(found.shares).sum() == 9
    assert found.expected_error == 0
    assert np.isnan(reliability(np.zeros(0), np.zeros(0, np.bool_)).expected_error)


@pytest.mark.parametrize("numbers", [(1.5, 0.4, -1.0), (0.7, 0.7, 0.5), (0.0, 2.0, -2.0)])
def test_finds_what_the_draws_came_from(numbers: tuple[float, float, float]) -> None:
    found = fit_calibration(*draws(BetaCalibration(*numbers), 200_000))
    assert (found.a, found.b, found.offset) == pytest.approx(numbers, abs=0.05)


def test_calibration_makes_scores_reliable() -> None:
    scores, right = draws(BetaCalibration(0.6, 0.2, -1.5), 50_000)
    calibrated = fit_calibration(scores[:25_000], right[:25_000])(scores[25_000:].astype(np.float32)).astype(np.float64)
    assert reliability(scores, right).expected_error > 0.2
    assert reliability(calibrated, right[25_000:]).expected_error < 0.015


def test_mean_share_is_that_of_what_is_right() -> None:
    scores, right = draws(BetaCalibration(1.2, 0.5, -3), 5000)  # a property of the most likely offset
    assert fit_calibration(scores, right)(scores.astype(np.float32)).mean() == pytest.approx(right.mean(), abs=1e-4)


def test_scores_of_zero_and_one() -> None:
    found = fit_calibration(np.array([0, 0, 0, 1, 1, 1.0]), np.array([False, False, True, True, True, False]))
    assert found(np.array([0, 1], np.float32)) == pytest.approx([1 / 3, 2 / 3], abs=0.01)


@pytest.mark.parametrize("right", [[True, True], [False, False], []])
def test_nothing_to_tell_apart(right: list[bool]) -> None:
    with pytest.raises(ValueError, match="expected right and wrong detections"):
        fit_calibration(np.full(len(right), 0.5), np.array(right, np.bool_))


def test_scores_that_mislead() -> None:
    with pytest.raises(ValueError, match="higher scores"):
        fit_calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False]))


def test_ignored_detections_are_not_judged() -> None:
    # Image 0: the cat is found, then a duplicate. Image 1: a difficult cat is found, which counts neither way, and a
    # box is on nothing.
    index = split_index(["a", "b"], ("cat",))
    box, elsewhere = [0.0, 0, 40, 40], [100.0, 0, 40, 40]
    difficult, labels = np.array([False, True]), np.zeros(4, np.int64)
    objects = ObjectTable(
        index, np.array([0, 1]), labels[:2], np.array([box, box]), difficult, difficult, np.full(2, 1600.0)
    )
    found = np.array([box, box, box, elsewhere])
    detections = DetectionTable(index, np.array([0, 0, 1, 1]), labels, found, np.array([0.6, 0.5, 0.9, 0.4]))
    judged = judge(score(objects, detections, "voc"))
    assert judged.scores.tolist() == [0.6, 0.5, 0.4]
    assert judged.right.tolist() == [True, False, False]
    assert judged.images.tolist() == [0, 0, 1]
