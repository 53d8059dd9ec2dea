"""Who goes on in a cascade, and how the threshold is chosen."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from classifier.cascade import Stages, join_stages, last_within
from detection.contracts import RegionScores

REGIONS = np.array([[0, 0, 10, 10], [5, 5, 20, 20], [1, 2, 3, 4]], np.float32)


def scores(*foreground: tuple[float, float], boxes: float | None = None) -> RegionScores:
    """Of two classes; refined boxes are all `boxes`."""
    probabilities = np.array([[1 - sum(row), *row] for row in foreground], np.float32).reshape(-1, 3)
    refined = None if boxes is None else np.full((len(probabilities), 2, 4), boxes, np.float32)
    return RegionScores(probabilities, refined)


FIRST = scores((0.25, 0.1), (0.1, 0.125), (0.0, 0.5))
FUSED = scores((0.75, 0.2), (0.3, 0.3), (0.1, 0.9))


def test_regions_go_on_from_the_threshold_on() -> None:
    stages = Stages(FIRST, FUSED)
    assert stages.goes_on(0.25).tolist() == [True, False, True]  # 0.25 just does, 0.125 does not
    chosen = stages.choose(REGIONS, 0.25)
    np.testing.assert_array_equal(chosen.probabilities[[0, 2]], FUSED.probabilities[[0, 2]])
    np.testing.assert_array_equal(chosen.probabilities[1], FIRST.probabilities[1])
    assert chosen.boxes is None
    assert stages.goes_on(0).all()
    assert not stages.goes_on(1).any()


@pytest.mark.parametrize(("first_box", "stopped_box"), [(2.0, [2.0] * 4), (None, [5, 5, 20, 20])])
def test_boxes_of_those_that_stop(first_box: float | None, stopped_box: list[float]) -> None:
    stages = Stages(RegionScores(FIRST.probabilities, scores(*[(0, 0)] * 3, boxes=first_box).boxes),
                    RegionScores(FUSED.probabilities, np.full((3, 2, 4), 7, np.float32)))  # fmt: skip
    boxes = stages.choose(REGIONS, 0.25).boxes
    assert boxes is not None
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[[7] * 4] * 2, [stopped_box] * 2, [[7] * 4] * 2]


def test_stages_are_means_over_members() -> None:
    rest = scores((0.5, 0.2), (0.1, 0.25), (0.3, 0.3), boxes=1.0)
    # One and three others: (0.25 + 3 * 0.5) / 4 = 0.4375; of them two refine, so boxes are (4 + 2 * 1) / 3 = 2.
    stages = join_stages(
        RegionScores(FIRST.probabilities, np.full((3, 2, 4), 4, np.float32)), rest, members=3, refining=2
    )
    assert stages.fused.probabilities[0, 1] == pytest.approx(0.4375)
    assert stages.fused.boxes is not None
    np.testing.assert_allclose(stages.fused.boxes, np.full((3, 2, 4), 2))
    only_rest = join_stages(FIRST, rest, members=3, refining=2)
    assert only_rest.fused.boxes is rest.boxes
    only_first = join_stages(rest, FIRST, members=3, refining=0)
    assert only_first.fused.boxes is rest.boxes
    assert join_stages(FIRST, FUSED, members=1, refining=0).fused.boxes is None


def test_no_regions() -> None:
    stages = join_stages(scores(), scores(boxes=1.0), members=2, refining=1)
    assert stages.goes_on(0.5).shape == (0,)
    chosen = stages.choose(REGIONS[:0], 0.5)
    assert chosen.probabilities.shape == (0, 3)
    assert chosen.boxes is not None
    assert chosen.boxes.shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("precisions", "expected"),
    [
        ([0.5], 0),
        ([0.5, 0.5, 0.375, 0.5], 3),  # a loss of just 0.125 is allowed, and so is a gain
        ([0.5, 0.75, 0.25, 0.5], 1),  # what comes back later is chance
        ([0.5, 0.25], 0),
        ([0.5, nan, 0.5], 0),
        ([nan, nan], 0),
    ],
)
def test_last_row_within_the_loss(precisions: list[float], expected: int) -> None:
    assert last_within(precisions, max_loss=0.125) == expected
