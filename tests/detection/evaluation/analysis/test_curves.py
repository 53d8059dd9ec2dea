from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.evaluation.analysis.curves import Curve, best_f1, precision_recall_curve
from detection.evaluation.metrics import Ranking


def ranking(true_positive: Sequence[bool], object_count: int, scores: Sequence[float] | None = None) -> Ranking:
    """Return a ranking of detections in one image, best first."""
    falling = np.linspace(1, 0.1, len(true_positive)) if scores is None else np.array(scores, np.float64)
    images = np.zeros(len(true_positive), np.int64)
    return Ranking(falling, np.array(true_positive, np.bool_), images, np.zeros(object_count, np.int64))


def envelope(curve: Curve, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([curve.precision[curve.recall >= level].max(initial=0) for level in levels])


def test_short_curve_is_whole() -> None:
    # Hit, miss, hit of 4 objects.
    curve = precision_recall_curve(ranking([True, False, True], 4, [0.9, 0.8, 0.3]))
    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert curve.recall.tolist() == [1 / 4, 1 / 4, 2 / 4]
    assert curve.scores.tolist() == [0.9, 0.8, 0.3]


def test_steps_keep_their_best_precision() -> None:
    # 6 detections, 3 hits, 4 points: the first, the last, and the best of two steps of what is found: 0-1 and 2-3.
    # miss hit miss miss hit hit: found 0 1 1 1 2 3, precision 0, 1/2, 1/3, 1/4, 2/5, 3/6; 1/2 at row 1, 3/6 at row 5.
    curve = precision_recall_curve(ranking([False, True, False, False, True, True], 3), most_points=4)
    assert curve.precision.tolist() == [0, 1 / 2, 1 / 2]
    assert curve.recall.tolist() == [0, 1 / 3, 1]


def test_curve_of_nothing() -> None:
    for nothing in (ranking([True] * 0, 3), ranking([False] * 200, 0)):
        assert [column.tolist() for column in precision_recall_curve(nothing)] == [[], [], []]
    missed = precision_recall_curve(ranking([False] * 200, 1))
    assert missed.precision.tolist() == missed.recall.tolist() == [0, 0]
    with pytest.raises(ValueError, match="most_points must be 3 or more, got 2"):
        precision_recall_curve(ranking([True], 1), most_points=2)


@pytest.mark.parametrize("seed", range(4))
def test_thinned_curve_has_the_same_envelope(seed: int) -> None:
    generator = np.random.default_rng(seed)
    hits = generator.random(3000) < np.linspace(0.9, 0, 3000)
    whole = precision_recall_curve(ranking(hits.tolist(), 2000), most_points=3000)
    thin = precision_recall_curve(ranking(hits.tolist(), 2000))
    assert 90 < len(thin.scores) <= 100
    assert (thin.scores[0], thin.scores[-1], thin.recall[-1]) == (whole.scores[0], whole.scores[-1], whole.recall[-1])
    levels = np.linspace(0, 1, 500)
    losses = envelope(whole, levels) - envelope(thin, levels)
    assert losses.min() >= 0
    assert losses.mean() < 1 / 98


def test_best_f1_by_hand() -> None:
    # 3 objects; hit hit miss hit miss. 2 TP / (detections + objects): 2/4, 4/5, 4/6, 6/7, 6/8.
    point = best_f1(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, False, True, False]), 3)
    np.testing.assert_allclose(point, (0.6, 6 / 7, 3 / 4, 1))


def test_threshold_takes_all_detections_of_its_score() -> None:
    # After the first hit F1 would be 2/2, but its score has a miss too: 2/3; with all three 2/4.
    point = best_f1(np.array([0.5, 0.5, 0.4]), np.array([True, False, False]), 1)
    np.testing.assert_allclose(point, (0.5, 2 / 3, 1 / 2, 1))


def test_highest_of_equally_good_thresholds() -> None:
    # 2 objects: hit 2/3, miss 2/4, miss 2/5, hit 4/6.
    assert best_f1(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True]), 2).score_threshold == 0.9


def test_best_f1_of_nothing() -> None:
    for point in (best_f1(np.zeros(0), np.zeros(0, np.bool_), 3), best_f1(np.ones(1), np.zeros(1, np.bool_), 0)):
        assert all(math.isnan(value) for value in point)
    assert best_f1(np.array([0.5, 0.4]), np.zeros(2, np.bool_), 1) == (0.5, 0, 0, 0)


@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_best_f1_agrees_with_every_threshold(ranked: list[tuple[float, bool]], never_found: int) -> None:
    count = sum(hit for _, hit in ranked) + never_found
    best_first = sorted(ranked, key=lambda pair: -pair[0])
    scores, hits = [score for score, _ in best_first], [hit for _, hit in best_first]
    point = best_f1(np.array(scores), np.array(hits), count)
    if not count:
        assert math.isnan(point.f1)
        return
    tried = {}
    for threshold in sorted(set(scores), reverse=True):
        kept = [hit for score, hit in best_first if score >= threshold]
        tried[threshold] = 2 * sum(kept) / (len(kept) + count)
    assert point.f1 == pytest.approx(max(tried.values()), abs=1e-12)
    assert point.score_threshold == max(tried, key=lambda threshold: round(tried[threshold], 12))
