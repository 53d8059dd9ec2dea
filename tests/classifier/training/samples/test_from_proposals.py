"""Tests of `sample_proposals`, and of `keep_apart`, which removes boxes that overlap ignored objects."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.training.samples.from_proposals import sample_proposals
from classifier.training.samples.sampled_boxes import ObjectLists, SampledBoxes, apart_from, keep_apart
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes
from tests.classifier.training.samples.sampling_examples import BOXES, LABELS, PROPOSALS, numbers_for, single_image


def proposed(
    boxes: FloatArray, labels: IntArray, proposals: FloatArray, quota: BoolArray, seed: int = 0
) -> SampledBoxes:
    """Draw a region of one image for each entry of `quota`."""
    return sample_proposals(
        single_image(boxes, labels),
        proposals,
        np.array([len(proposals)]),
        foreground=quota[None],
        numbers=numbers_for(len(quota), seed),
    )


def from_proposals(proposals: FloatArray, quota: list[bool], seed: int = 0) -> tuple[set[tuple[float, ...]], set[int]]:
    drawn = proposed(BOXES, LABELS, proposals, np.array(quota), seed)
    assert drawn.boxes.shape == drawn.targets.shape == (len(quota), 4)
    return {tuple(box) for box in drawn.boxes.tolist()}, set(drawn.labels.tolist())


def test_foreground_proposals_and_ground_truth() -> None:
    boxes, labels = from_proposals(PROPOSALS, [True] * 200)
    assert boxes == {tuple(box) for box in [*BOXES.tolist(), *PROPOSALS[:2].tolist()]}
    assert labels == {1, 5, 8}


def test_background_proposals() -> None:
    boxes, labels = from_proposals(PROPOSALS, [False] * 100)
    assert boxes == {tuple(box) for box in PROPOSALS[2:].tolist()}
    assert labels == {0}


def test_proposals_stand_for_the_ground_truth_that_they_overlap_most() -> None:
    # Shifted by 8 columns it overlaps ground truth 0 by 32 / 48 and ground truth 1 by 28 / 52.
    drawn = proposed(BOXES[:2], LABELS[:2], PROPOSALS[:1], np.ones(50, bool))
    chosen = (drawn.boxes == PROPOSALS[0]).all(1)
    assert chosen.any()
    assert (drawn.labels[chosen] == LABELS[0] + 1).all()
    assert (drawn.targets[chosen] == BOXES[0]).all()


def test_the_other_kind_is_taken_where_one_is_missing() -> None:
    assert from_proposals(as_boxes([]), [False] * 20)[1] == {1, 5, 8}
    drawn = proposed(as_boxes([]), LABELS[:0], PROPOSALS, np.ones(20, bool))
    assert set(drawn.labels.tolist()) == {0}


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ValueError, match="proposals or ground truth"):
        proposed(as_boxes([]), LABELS[:0], as_boxes([]), np.ones(1, bool))


def test_boxes_apart_from_ignored_objects() -> None:
    # With (0, 0, 10, 10): the left half, IoU 1/2, which is too much; a little less than half; beside it; itself.
    ignored = as_boxes([(0, 0, 10, 10), (50, 50, 60, 60)])
    boxes = as_boxes([(0, 0, 5, 10), (0, 0, 4.99, 10), (10, 0, 20, 10), (0, 0, 10, 10), (50, 50, 60, 60)])
    assert apart_from(ignored, boxes).tolist() == boxes[1:3].tolist()
    assert apart_from(as_boxes([]), boxes).tolist() == boxes.tolist()
    assert apart_from(ignored, as_boxes([])).shape == (0, 4)


def test_boxes_of_several_images_apart_from_ignored_objects() -> None:
    ignored = ObjectLists(
        [as_boxes([]), as_boxes([(0, 0, 10, 10), (50, 50, 60, 60)]), as_boxes([(0, 0, 5, 10)])],
        [LABELS[:0], LABELS[:2], LABELS[:1]],
    )[np.arange(3)]
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 5, 10), (20, 20, 30, 30), (50, 50, 60, 60), (0, 0, 5, 10)])
    kept, counts = keep_apart(ignored, boxes, np.array([1, 3, 1]))
    assert kept.tolist() == boxes[[0, 2]].tolist()
    assert counts.tolist() == [1, 1, 0]
