"""The ranking of boxes, compared with results by hand and naive loops, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import ROWS_AT_ONCE, as_boxes, box_iou
from proposals.merge import LEVELS, near_pairs, rank_boxes


def crowded_boxes(seed: int, count: int) -> FloatArray:
    """Return variants of a few boxes on whole pixels, of which some are equal and some have no area."""
    generator = np.random.default_rng(seed)
    centres = np.sort(generator.integers(0, 100, (6, 2, 2)), axis=1).reshape(6, 4)
    moves = generator.integers(-1, 2, (count, 4)) * generator.integers(0, 4, (count, 1))
    corners = centres[generator.integers(0, 6, count)] + moves
    return as_boxes(np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), corners[:, 2:]], axis=1))


def pairs_of(boxes: FloatArray, iou_threshold: float) -> dict[tuple[int, int], float]:
    pairs = near_pairs(boxes, iou_threshold)
    found = dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.iou.tolist(), strict=True))
    assert len(found) == len(pairs.iou)
    return found


@pytest.mark.parametrize("iou_threshold", [0.01, 0.5, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE + 5])
def test_pairs_are_those_of_the_whole_matrix(count: int, iou_threshold: float) -> None:
    boxes = crowded_boxes(count, count)
    iou = box_iou(boxes, boxes)
    first, second = np.nonzero(np.triu(iou >= np.float32(iou_threshold), 1))
    expected = {(int(i), int(j)): float(iou[i, j]) for i, j in zip(first, second, strict=True)}
    assert pairs_of(boxes, iou_threshold) == expected
    if count > ROWS_AT_ONCE:
        assert len(expected) > 20


def test_pairs_at_the_threshold() -> None:
    # 7 of 10 rows are shared, and the smaller has exactly 0.7 of the area: the least that can match.
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 10, 7), (0, 0, 10, 6.99)])
    assert set(pairs_of(boxes, 0.7)) == {(0, 1), (1, 2)}


def ranked_by_loops(boxes: FloatArray, weights: IntArray, duplicate_iou: float) -> tuple[list[int], list[float]]:
    """Return the order and gains of a naive loop that takes the box with the largest gain, the first of equals."""
    worth = weights.tolist()
    iou = box_iou(boxes, boxes)
    iou[np.arange(len(boxes)), np.arange(len(boxes))] = 1  # also of boxes without area
    left = list(range(len(boxes)))
    order: list[int] = []
    gains: list[float] = []

    def covered(chosen: list[int]) -> int:
        """Return the sum over all places of the highest level at which a chosen box covers the place."""
        best = iou[chosen].max(axis=0) if chosen else np.zeros(len(iou))
        reached = [sum(overlap >= np.float32(level) for level in LEVELS) for overlap in best]
        return sum(number * levels for number, levels in zip(worth, reached, strict=True))

    while left:
        gain = {index: covered([*order, index]) - covered(order) for index in left}
        best = max(left, key=lambda index: (gain[index], -index))
        order.append(best)
        gains.append(gain[best] / (len(LEVELS) * sum(worth)))
        left = [index for index in left if index != best and not iou[best, index] > np.float32(duplicate_iou)]
    return order, gains


@pytest.mark.parametrize("duplicate_iou", [0.4, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_order_is_that_of_the_loops(seed: int, duplicate_iou: float) -> None:
    boxes = crowded_boxes(seed, 30)
    weights = np.random.default_rng(seed).integers(1, 4, 30) if seed % 2 else np.ones(30, np.int64)
    order, gains = ranked_by_loops(boxes, weights, duplicate_iou)
    ranking = rank_boxes(boxes, weights=weights if seed % 2 else None, duplicate_iou=duplicate_iou)
    assert ranking.order.tolist() == order
    np.testing.assert_allclose(ranking.shares, gains, rtol=1e-6)
    if duplicate_iou < 1:
        assert len(order) < len(boxes)


def test_order_by_hand() -> None:
    """There are three groups of boxes: a crowd of three, a pair, and a single box."""
    crowd = [(0, 0, 10, 10), (0, 0, 10, 12), (0, 0, 10, 14)]  # 10/12 = 0.83, 12/14 = 0.86, 10/14 = 0.71
    pair = [(50, 0, 60, 10), (50, 0, 60, 10.5)]  # 0.952
    alone = [(0, 50, 9, 59)]
    # Levels: 0.83 and 0.86 reach 3 of four, 0.71 two, 0.952 and a box itself all four. Sums: in the crowd 4 + 3 + 2,
    # 3 + 4 + 3, 2 + 3 + 4; in the pair 8 each; alone 4. After box 1, boxes 0 and 2 add a level each, of themselves;
    # after box 3, box 4 adds nothing.
    boxes = as_boxes([*crowd, *pair, *alone])
    ranking = rank_boxes(boxes)
    assert ranking.order.tolist() == [1, 3, 5, 0, 2, 4]
    np.testing.assert_allclose(ranking.shares, np.array([10, 8, 4, 1, 1, 0]) / 24, rtol=1e-6)
    assert ranking.shares.dtype == np.float32
    assert rank_boxes(boxes, duplicate_iou=0.95).order.tolist() == [1, 3, 5, 0, 2]
    assert rank_boxes(boxes, duplicate_iou=0.85).order.tolist() == [1, 3, 5, 0]


def test_a_place_that_counts_several_times() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (50, 0, 60, 10), (50, 0, 60, 10.5)])
    assert rank_boxes(boxes, duplicate_iou=0.95).order.tolist() == [1, 0]
    weighted = rank_boxes(boxes, weights=np.array([3, 1, 1]), duplicate_iou=0.95)
    assert weighted.order.tolist() == [0, 1]
    np.testing.assert_allclose(weighted.shares, [3 / 5, 2 / 5], rtol=1e-6)


def test_near_duplicate_at_the_threshold_stays() -> None:
    boxes = as_boxes([(0, 0, 8, 8), (0, 0, 8, 6)])  # 0.75, exact in binary
    assert rank_boxes(boxes, duplicate_iou=0.75).order.tolist() == [0, 1]
    assert rank_boxes(boxes, duplicate_iou=0.7499).order.tolist() == [0]


def test_equal_boxes() -> None:
    boxes = as_boxes([(0, 0, 5, 5)] * 300)
    assert rank_boxes(boxes, duplicate_iou=1.0).order.tolist() == list(range(300))
    ranking = rank_boxes(boxes, duplicate_iou=0.95)
    assert (ranking.order.tolist(), ranking.shares.tolist()) == ([0], [1])


def test_limit_is_the_beginning_of_the_order() -> None:
    boxes = crowded_boxes(0, 60)
    whole = rank_boxes(boxes, duplicate_iou=0.9)
    for limit in (1, 7, len(whole.order), 1000):
        ranking = rank_boxes(boxes, duplicate_iou=0.9, limit=limit)
        assert ranking.order.tolist() == whole.order[:limit].tolist()
        assert ranking.shares.tolist() == whole.shares[:limit].tolist()


def test_no_boxes() -> None:
    ranking = rank_boxes(as_boxes([]))
    assert ranking.order.shape == ranking.shares.shape == (0,)
    assert ranking.order.dtype == np.int64


@pytest.mark.parametrize(
    "arguments",
    [
        {"duplicate_iou": 0.0},
        {"duplicate_iou": 1.01},
        {"limit": 0},
        {"weights": np.array([0])},
        {"weights": np.array([1, 1])},
    ],
    ids=str,
)
def test_arguments_out_of_range(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        rank_boxes(as_boxes([(0, 0, 1, 1)]), **arguments)  # type: ignore[arg-type]
