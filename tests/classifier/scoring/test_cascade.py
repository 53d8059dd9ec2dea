"""Which regions go on in a cascade, and how a threshold is chosen."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
import torch

from classifier.scoring.cascade import StageScores, last_within
from classifier.scoring.score import Cascade, Scores, cascade_confidence, split_by_image
from detection.structures.contracts import RegionScores
from tests.classifier.scoring.member_examples import refined

REGIONS = np.array([[0, 0, 10, 10], [5, 5, 20, 20], [1, 2, 3, 4]], np.float32)
ALL = np.ones(3, np.bool_)


def scores(*foreground: tuple[float, float], boxes: float | None = None) -> RegionScores:
    """Return scores of two classes, whose refined boxes are all `boxes`."""
    probabilities = np.array([[1 - sum(row), *row] for row in foreground], np.float32).reshape(-1, 3)
    refined = None if boxes is None else np.full((len(probabilities), 2, 4), boxes, np.float32)
    return RegionScores(probabilities, refined)


FIRST = scores((0.25, 0.0), (0.1, 0.125), (0.0, 0.5))
FUSED = scores((0.75, 0.2), (0.3, 0.3), (0.1, 0.9))


def test_cascade_confidence_by_hand() -> None:
    # Background, then two classes; of 0.5, 0.5 and 0.5, of 0.3, 0.3 and 0.6, and of zeros only.
    probabilities = torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(cascade_confidence(probabilities), torch.tensor([0.5, 0.3780, 0.0]), atol=1e-4, rtol=0)
    assert cascade_confidence(torch.zeros(0, 3)).shape == (0,)


def test_a_region_exactly_at_the_threshold_goes_on() -> None:
    stages = StageScores(FIRST, FUSED, ALL)
    least = float(cascade_confidence(FIRST.probabilities)[0])
    assert stages.goes_on(least).tolist() == [True, False, True]  # the first just does
    chosen = stages.choose(REGIONS, least)
    np.testing.assert_array_equal(chosen.probabilities[[0, 2]], FUSED.probabilities[[0, 2]])
    np.testing.assert_array_equal(chosen.probabilities[1], FIRST.probabilities[1])
    assert chosen.boxes is None
    assert stages.goes_on(0).all()
    assert not stages.goes_on(1).any()


def test_regions_that_an_earlier_threshold_stopped_do_not_go_on() -> None:
    stages = StageScores(FIRST, FUSED, np.array([False, True, True]))
    assert stages.goes_on(0.2).tolist() == [False, False, True]
    assert stages.goes_on(0).tolist() == [False, True, True]


@pytest.mark.parametrize(("first_box", "stopped_box"), [(2.0, [2.0] * 4), (None, [5, 5, 20, 20])])
def test_boxes_of_regions_that_stop(first_box: float | None, stopped_box: list[float]) -> None:
    stages = StageScores(RegionScores(FIRST.probabilities, scores(*[(0, 0)] * 3, boxes=first_box).boxes),
                    RegionScores(FUSED.probabilities, np.full((3, 2, 4), 7, np.float32)), ALL)  # fmt: skip
    boxes = refined(stages.choose(REGIONS, 0.2))
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[[7] * 4] * 2, [stopped_box] * 2, [[7] * 4] * 2]


def test_scores_of_groups_are_divided_by_image() -> None:
    """Two groups of three and one regions are those of images of one, none and three regions."""
    cascade, regions = Cascade([]), [REGIONS[:1], REGIONS[:0], REGIONS]
    probabilities, boxes = torch.arange(12.0).view(4, 3), torch.arange(32.0).view(4, 2, 4)
    groups = [Scores(probabilities[:3], boxes[:3]), Scores(probabilities[3:], boxes[3:])]
    by_image = split_by_image(cascade, groups, regions)
    for image, rows in zip(by_image, (slice(0, 1), slice(0, 0), slice(1, 4)), strict=True):
        np.testing.assert_array_equal(image.probabilities, probabilities[rows])
        np.testing.assert_array_equal(refined(image), boxes[rows])
    without_boxes = split_by_image(cascade, [Scores(probabilities, None)], regions)
    assert [image.boxes for image in without_boxes] == [None] * 3


def test_no_regions() -> None:
    stages = StageScores(scores(), scores(boxes=1.0), ALL[:0])
    assert stages.goes_on(0.5).shape == (0,)
    chosen = stages.choose(REGIONS[:0], 0.5)
    assert chosen.probabilities.shape == (0, 3)
    assert refined(chosen).shape == (0, 2, 4)


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
