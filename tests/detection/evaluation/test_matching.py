from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.evaluation.matching import TRUE_POSITIVE, Matches, match
from detection.evaluation.rules import ILSVRC, MatchingRule, ilsvrc_iou_thresholds
from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import split_detections, split_index, split_objects

Box = tuple[int, int, int, int]


NAMES = ("cat", "dog", "owl")


def match_one(truth: GroundTruth, detections: Detections, rule: MatchingRule = ILSVRC) -> Matches:
    """Match the detections of a single image."""
    index = split_index([truth.image_id], NAMES)
    return match(split_objects(index, [truth]), split_detections(index, {truth.image_id: detections}), rule)


def match_image(truth: GroundTruth, detections: Detections) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = match_one(truth, detections).outcomes == TRUE_POSITIVE
    return found


def matches(boxes: Sequence[Sequence[float]], ground_truth_boxes: Sequence[Sequence[float]]) -> list[bool]:
    """Return True for boxes, given best first, that find an object of their class by the rule of ILSVRC."""
    falling = np.linspace(1, 0.5, len(boxes)).tolist()
    truth = image(as_boxes(ground_truth_boxes), [0] * len(ground_truth_boxes))
    return [bool(flag) for flag in match_image(truth, detected(as_boxes(boxes), falling, [0] * len(boxes)))]


def kit_matches(boxes: Sequence[Box], ground_truth_boxes: Sequence[Box]) -> list[bool]:
    """The loops of the ILSVRC development kit on integers, with its inclusive pixels that are counted from 1."""
    inclusive = [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in boxes]
    objects = [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in ground_truth_boxes]
    taken = [False] * len(objects)
    flags = []
    for x1, y1, x2, y2 in inclusive:
        best, best_overlap = -1, -1.0
        for k, (gx1, gy1, gx2, gy2) in enumerate(objects):
            width, height = gx2 - gx1 + 1, gy2 - gy1 + 1
            shared_width, shared_height = min(x2, gx2) - max(x1, gx1) + 1, min(y2, gy2) - max(y1, gy1) + 1
            if taken[k] or shared_width <= 0 or shared_height <= 0:
                continue
            shared = shared_width * shared_height
            overlap = shared / ((x2 - x1 + 1) * (y2 - y1 + 1) + width * height - shared)
            threshold = min(0.5, width * height / ((width + 10) * (height + 10)))
            if overlap >= threshold and overlap > best_overlap:
                best, best_overlap = k, overlap
        if best >= 0:
            taken[best] = True
        flags.append(best >= 0)
    return flags


def random_boxes(generator: np.random.Generator, count: int, largest_side: int) -> list[Box]:
    corners = generator.integers(0, 40, (count, 2))
    ends = corners + generator.integers(1, largest_side + 1, (count, 2))
    return [(int(x1), int(y1), int(x2), int(y2)) for (x1, y1), (x2, y2) in zip(corners, ends, strict=True)]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 10), 0.25),  # 100 / (20 * 20)
        ((3, 7, 13, 27), 1 / 3),  # 10 x 20: 200 / (20 * 30)
        ((0, 0, 1, 1), 1 / 121),  # 1 / (11 * 11)
        ((0, 0, 24, 24), 576 / 1156),  # the largest square under 0.5: 24 * 24 / (34 * 34) = 0.498
        ((0, 0, 25, 25), 0.5),  # 625 / 1225 = 0.510 is more than 0.5
        ((0, 0, 10, 1000), 10_000 / (20 * 1010)),  # narrow: just under 10 / 20
        ((0, 0, 500, 300), 0.5),
        ((4, 4, 4, 9), 0),  # no width
    ],
)
def test_threshold_by_size(box: Box, expected: float) -> None:
    assert ilsvrc_iou_thresholds(as_boxes([box])).tolist() == [expected]


def test_half_overlap_is_a_match() -> None:
    # 40 * 20 shared of 40 * 40: exactly 0.5.
    assert matches([(0, 0, 40, 20)], [(0, 0, 40, 40)]) == [True]
    # 60 x 30 moved by 20: 40 * 30 = 1200 shared of 1800 + 1800 - 1200 = 2400.
    assert matches([(20, 0, 80, 30)], [(0, 0, 60, 30)]) == [True]


def test_just_under_half_overlap_is_no_match() -> None:
    assert matches([(0, 0, 40, 19.999)], [(0, 0, 40, 40)]) == [False]
    assert matches([(20.001, 0, 80.001, 30)], [(0, 0, 60, 30)]) == [False]


def test_small_objects_are_found_at_exactly_their_threshold() -> None:
    # A box 10 px wider and higher than an object of w x h overlaps it by w h / ((w + 10) (h + 10)): the threshold.
    # In float32 a part of these 576 IoUs would be below the threshold.
    for width in range(1, 25):
        for height in range(1, 25):
            small = (20, 20, 20 + width, 20 + height)
            assert matches([(15, 15, 25 + width, 25 + height)], [small]) == [True], (width, height)
            assert matches([(15, 15, 25 + width, 26 + height)], [small]) == [False], (width, height)


def test_low_overlap_counts_for_small_objects_only() -> None:
    # A quarter of the object is shared both times: 25 / 100, the threshold of 10 x 10, and 2500 / 10,000.
    assert matches([(0, 0, 5, 5)], [(0, 0, 10, 10)]) == [True]
    assert matches([(0, 0, 50, 50)], [(0, 0, 100, 100)]) == [False]


def test_duplicate_is_a_false_positive() -> None:
    # The second fits better, but the first took the object.
    assert matches([(0, 0, 40, 30), (0, 0, 40, 40)], [(0, 0, 40, 40)]) == [True, False]


def test_taken_ground_truth_is_skipped_for_the_next_best() -> None:
    # The second box overlaps the taken first object by 0.9 (36 of 40 rows) and the second by 32 / 44 = 0.73, as that
    # has rows 4 to 44 and the box 0 to 36. The VOC rule would call it a duplicate of the first.
    objects = [(0, 0, 40, 40), (0, 4, 40, 44)]
    assert matches([(0, 0, 40, 40), (0, 0, 40, 36)], objects) == [True, True]


def test_largest_overlap_is_taken() -> None:
    # The first box, rows 10-50, overlaps rows 0-40 by 30 / 50 and rows 12-52 by 38 / 42, so it takes the second object.
    # That leaves the first: found by a box upon it, but not by rows 14-54, which overlap it by 26 / 54 only.
    objects = [(0, 0, 40, 40), (0, 12, 40, 52)]
    assert matches([(0, 10, 40, 50), (0, 0, 40, 40)], objects) == [True, True]
    assert matches([(0, 10, 40, 50), (0, 14, 40, 54)], objects) == [True, False]


def test_first_of_equal_overlaps_is_taken() -> None:
    # Columns 10-50 share 30 of 50 with both columns 0-40 and 20-60, and take the first; 0-40 and 20-60 share 20 of 60.
    objects = [(0, 0, 40, 40), (20, 0, 60, 40)]
    assert matches([(10, 0, 50, 40), (0, 0, 40, 40)], objects) == [True, False]
    assert matches([(10, 0, 50, 40), (20, 0, 60, 40)], objects) == [True, True]


def test_larger_overlap_under_its_own_threshold_gives_way() -> None:
    # The box of 360 px covers 360 / 800 = 0.45 of the large object, too little, and the small one lies within it:
    # 140 / 360 = 0.39, which is enough as that asks for 140 / (20 * 24) = 0.29.
    assert matches([(0, 0, 20, 18)], [(0, 0, 40, 20)]) == [False]
    assert matches([(0, 0, 20, 18)], [(0, 0, 40, 20), (0, 0, 10, 14)]) == [True]


def test_object_without_area_is_never_found() -> None:
    # Its threshold is 0, which an overlap of 0 reaches.
    assert matches([(0, 0, 8, 8), (4, 4, 4, 9)], [(4, 4, 4, 9)]) == [False, False]


def test_touching_is_no_overlap() -> None:
    assert matches([(0, 0, 1, 1)], [(1, 0, 2, 1)]) == [False]


def test_no_detections_or_no_objects() -> None:
    assert matches([], [(0, 0, 9, 9)]) == []
    assert matches([(0, 0, 9, 9)], []) == [False]
    assert matches([], []) == []


@pytest.mark.parametrize("largest_side", [6, 30])
def test_agrees_with_the_loops_of_the_kit(largest_side: int) -> None:
    generator = np.random.default_rng(largest_side)
    found = 0
    for _ in range(100):
        boxes = random_boxes(generator, 30, largest_side)
        objects = random_boxes(generator, 8, largest_side)
        expected = kit_matches(boxes, objects)
        assert matches(boxes, objects) == expected
        found += sum(expected)
    assert 100 < found < 700  # of at most 800: neither none nor all


small_boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


@settings(derandomize=True, database=None, deadline=None, max_examples=150)
@given(st.lists(small_boxes, max_size=6), st.lists(small_boxes, max_size=4))
def test_agrees_with_the_loops_of_the_kit_on_ties_and_degenerate_boxes(boxes: list[Box], objects: list[Box]) -> None:
    assert matches(boxes, objects) == kit_matches(boxes, objects)


def image(boxes: FloatArray, labels: list[int]) -> GroundTruth:
    return GroundTruth("a", Path("a.jpg"), boxes, np.array(labels, np.int64))


def detected(boxes: FloatArray, scores: list[float], labels: list[int]) -> Detections:
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64), NAMES)


def test_image_matches_each_class_by_falling_score() -> None:
    # The same box six times, one object of class 0 and one of class 2. Class 0: 0.9 is best, at index 2. Class 1 has no
    # object. Class 2: indices 1 and 5 tie at 0.5, the earlier wins.
    box = (0, 0, 40, 40)
    scores, labels = [0.3, 0.5, 0.9, 0.99, 0.4, 0.5], [0, 2, 0, 1, 2, 2]
    flags = match_image(image(as_boxes([box] * 2), [0, 2]), detected(as_boxes([box] * 6), scores, labels))
    assert flags.tolist() == [False, True, True, False, False, False]


def test_first_of_many_equal_scores_takes_the_object() -> None:
    # There are many detections, because an unstable sort keeps the order of a few.
    flags = match_image(
        image(as_boxes([(0, 0, 40, 40)]), [0]),
        detected(as_boxes([(0, 0, 40, 40)] * 600), [0.5, 0.9, 0.7] * 200, [0] * 600),
    )
    assert np.flatnonzero(flags).tolist() == [1]


def test_image_asks_less_of_small_objects() -> None:
    # 25 of 100 px shared, the threshold of 10 x 10.
    flags = match_image(image(as_boxes([(0, 0, 10, 10)]), [0]), detected(as_boxes([(0, 0, 5, 5)]), [0.5], [0]))
    assert flags.tolist() == [True]


def test_image_without_objects_or_detections() -> None:
    item, none = as_boxes([(0, 0, 40, 40)]), as_boxes([])
    assert match_image(image(none, []), detected(item, [0.5], [1])).tolist() == [False]
    assert match_image(image(item, [1]), detected(none, [], [])).tolist() == []


def test_ground_truth_is_checked() -> None:
    empty = image(as_boxes([]), [])
    assert len(empty) == 0
    assert empty.boxes.shape == (0, 4)
    with pytest.raises(ValueError, match=r"image a: boxes must have x1 <= x2 and y1 <= y2"):
        image(np.array([[9, 0, 3, 5]], np.float32), [0])
    with pytest.raises(ValueError, match=r"image a: labels must have shape \[1\], one for each box, got \[2\]"):
        image(as_boxes([(0, 0, 1, 1)]), [0, 1])
    with pytest.raises(ValueError, match="image a: labels must be 0 or more, got -1"):
        image(as_boxes([(0, 0, 1, 1)]), [-1])
