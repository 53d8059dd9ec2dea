from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.calibration import BetaCalibration
from detection.evaluation.analysis.reliability import Judged, fit_calibration, judge, reliability
from detection.evaluation.scoring import score
from detection.structures.arrays import BoolArray
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index


def draws(calibration: BetaCalibration, count: int) -> Judged:
    """Draw detections with all scores and areas, which are right with the probability that the calibration gives."""
    generator = np.random.default_rng(0)
    scores, areas = generator.uniform(0, 1, (2, count))
    return judged_of(scores, generator.uniform(0, 1, count) < calibration(scores, areas), areas)


def judged_of(scores: NDArray[np.float64], right: BoolArray, areas: NDArray[np.float64] | None = None) -> Judged:
    return Judged(scores, right, np.zeros(len(scores), np.int64), np.ones(len(scores)) if areas is None else areas)


def shares(calibration: BetaCalibration, judged: Judged) -> NDArray[np.float64]:
    return calibration(judged.scores, judged.areas).astype(np.float64)


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
    found = fit_calibration(draws(BetaCalibration(*numbers), 200_000))
    assert (found.a, found.b, found.offset) == pytest.approx(numbers, abs=0.05)
    assert found.area == 0


@pytest.mark.parametrize("area", [0.8, -0.3])
def test_finds_how_much_areas_count(area: float) -> None:
    judged = draws(BetaCalibration(1.5, 0.4, -0.5, area), 200_000)
    found = fit_calibration(judged, area=None)
    assert (found.a, found.b, found.offset, found.area) == pytest.approx((1.5, 0.4, -0.5, area), abs=0.05)
    given = fit_calibration(judged, area=0.2)
    assert given.area == 0.2
    assert shares(given, judged).mean() == pytest.approx(judged.right.mean(), abs=1e-3)


def test_calibration_makes_scores_reliable() -> None:
    judged = draws(BetaCalibration(0.6, 0.2, -1.5), 50_000)
    first, second = judged.part(np.arange(25_000)), judged.part(np.arange(25_000, 50_000))
    calibrated = shares(fit_calibration(first), second)
    assert reliability(judged.scores, judged.right).expected_error > 0.2
    assert reliability(calibrated, second.right).expected_error < 0.015


def test_mean_share_is_that_of_what_is_right() -> None:
    judged = draws(BetaCalibration(1.2, 0.5, -3), 5000)  # a property of the most likely offset
    assert shares(fit_calibration(judged), judged).mean() == pytest.approx(judged.right.mean(), abs=1e-4)


def test_scores_of_zero_and_one() -> None:
    found = fit_calibration(
        judged_of(np.array([0, 0, 0, 1, 1, 1.0]), np.array([False, False, True, True, True, False]))
    )
    assert found(np.array([0, 1], np.float32), np.ones(2)) == pytest.approx([1 / 3, 2 / 3], abs=0.01)


@pytest.mark.parametrize("right", [[True, True], [False, False], []])
def test_nothing_to_tell_apart(right: list[bool]) -> None:
    with pytest.raises(ValueError, match="expected right and wrong detections"):
        fit_calibration(judged_of(np.full(len(right), 0.5), np.array(right, np.bool_)))


def test_scores_that_mislead() -> None:
    with pytest.raises(ValueError, match="higher scores"):
        fit_calibration(judged_of(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])))


def test_ignored_detections_are_not_judged() -> None:
    # Image 0: the cat is found, then a duplicate. Image 1: a difficult cat is found, which is ignored, and a
    # box is on nothing.
    index = split_index(["a", "b"], ("cat",), sizes=[(100, 100), (100, 100)])
    box, elsewhere = [0.0, 0, 40, 40], [100.0, 0, 40, 40]
    difficult, labels = np.array([False, True]), np.zeros(4, np.int64)
    objects = SplitObjects(
        index, np.array([0, 1]), labels[:2], np.array([box, box]), difficult, difficult, np.full(2, 1600.0)
    )
    found = np.array([box, box, box, elsewhere])
    detections = SplitDetections(index, np.array([0, 0, 1, 1]), labels, found, np.array([0.6, 0.5, 0.9, 0.4]))
    judged = judge(score(objects, detections, "voc"))
    assert judged.scores.tolist() == [0.6, 0.5, 0.4]
    assert judged.right.tolist() == [True, False, False]
    assert judged.images.tolist() == [0, 0, 1]
    assert judged.areas == pytest.approx([0.16, 0.16, 0.16])
