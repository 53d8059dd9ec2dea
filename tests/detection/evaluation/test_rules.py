"""Each rule as a whole, on cases whose results are derived by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.evaluation import RULES, evaluate, score
from detection.evaluation.average_precision import average_precision
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detection.evaluation.rules import ILSVRC, TENTHS, VOC, half_iou_thresholds
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import split_detections, split_index, split_objects
from tests.detection.evaluation.rule_examples import NAMES, Annotated, Found, make_split

BOX, SHIFTED, ELSEWHERE = (0, 0, 40, 40), (0, 4, 40, 44), (100, 100, 140, 140)


def outcomes(rule: str, objects: Sequence[Annotated], found: Sequence[Found]) -> list[int]:
    matches = score(*make_split(objects, found), rule).matches
    assert matches is not None
    return [int(outcome) for outcome in matches.outcomes]


def test_second_box_on_a_taken_object() -> None:
    # The second box overlaps the first object, which is taken, by 36 / 40 = 0.9 and the other by 32 / 44 = 0.73.
    objects = [Annotated(0, 0, BOX), Annotated(0, 0, SHIFTED)]
    found = [Found(0, 0, 0.9, BOX), Found(0, 0, 0.8, (0, 0, 40, 36))]
    assert outcomes("ilsvrc", objects, found) == [TRUE_POSITIVE, TRUE_POSITIVE]
    assert outcomes("voc", objects, found) == outcomes("voc2007", objects, found) == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_small_object_at_low_overlap() -> None:
    # 25 of 100 px: the ILSVRC threshold of 10 x 10 is 100 / 400, VOC's is a half.
    objects, found = [Annotated(0, 0, (0, 0, 10, 10))], [Found(0, 0, 0.9, (0, 0, 5, 5))]
    assert outcomes("ilsvrc", objects, found) == [TRUE_POSITIVE]
    assert outcomes("voc", objects, found) == [FALSE_POSITIVE]


@pytest.mark.parametrize("rule", ["ilsvrc", "voc", "voc2007"])
def test_overlap_of_a_half_is_a_match(rule: str) -> None:
    objects = [Annotated(0, 0, BOX), Annotated(1, 0, BOX)]
    found = [Found(0, 0, 0.9, (0, 0, 40, 20)), Found(1, 0, 0.8, (0, 0, 20, 39))]  # 20 / 40, 780 / 1600
    assert outcomes(rule, objects, found) == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_difficult_objects_count_neither_way() -> None:
    # Three boxes upon the difficult object are ignored, however many; 39 rows of the other find it. One object counts:
    # precision 1 at recall 1, then one false positive.
    objects = [Annotated(0, 0, BOX, ignored=True), Annotated(0, 0, ELSEWHERE)]
    found = [Found(0, 0, 0.9, BOX), Found(0, 0, 0.8, BOX), Found(0, 0, 0.7, (100, 100, 140, 139))]
    found += [Found(0, 0, 0.6, (0, 0, 40, 30)), Found(0, 0, 0.5, (200, 200, 240, 240))]
    for rule in ("ilsvrc", "voc", "voc2007"):
        assert outcomes(rule, objects, found) == [IGNORED, IGNORED, TRUE_POSITIVE, IGNORED, FALSE_POSITIVE]
        metrics = score(*make_split(objects, found), rule)
        assert metrics.average_precision[0] == 1
        assert metrics.ground_truth_counts.tolist() == [1, 0]


def test_box_between_a_difficult_object_and_another() -> None:
    # Rows 0-38 overlap the difficult object, rows 0-40, by 0.95 and the other, rows 4-44, by 34 / 44. VOC takes the
    # best, though it is ignored; for ILSVRC, whose kit knows none, an object that counts goes before one that does not.
    objects = [Annotated(0, 0, BOX, ignored=True), Annotated(0, 0, SHIFTED)]
    assert outcomes("voc", objects, [Found(0, 0, 0.9, (0, 0, 40, 38))]) == [IGNORED]
    assert outcomes("ilsvrc", objects, [Found(0, 0, 0.9, (0, 0, 40, 38))]) == [TRUE_POSITIVE]


def test_eleven_points_by_hand() -> None:
    # 4 objects; hit, miss, hit, and two never found. Recall 1/4 at precision 1, 2/4 at 2/3. The levels 0, 0.1, 0.2 have
    # precision 1; 0.3, 0.4, 0.5 have 2/3; the other five nothing: (3 + 3 * 2/3) / 11 = 5/11.
    # Area: 1/4 + 2/3 / 4 = 5/12.
    scores, hits = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    assert average_precision(scores, hits, 4, TENTHS) == pytest.approx(5 / 11, abs=1e-15)
    assert average_precision(scores, hits, 4) == pytest.approx(5 / 12, abs=1e-15)


@pytest.mark.parametrize("found", range(11))
def test_recall_equal_to_a_level_reaches_it(found: int) -> None:
    # Of 10 objects `found` are found, at precision 1: recall found / 10 reaches the levels 0 to found / 10. Floating
    # point sums of tenths would put 0.3 above 3 / 10.
    scores, hits = np.linspace(1, 0.5, found), np.ones(found, np.bool_)
    levels = found + 1 if found else 0
    assert average_precision(scores, hits, 10, TENTHS) == pytest.approx(levels / 11, abs=1e-15)


def test_perfect_detections_score_one_by_every_rule() -> None:
    objects = [Annotated(image, label, BOX) for image in range(3) for label in range(2)]
    found = [Found(item.image, item.label, 0.5, item.box) for item in objects]
    for rule in RULES:
        metrics = score(*make_split(objects, found), rule)
        assert metrics.mean_average_precision == pytest.approx(1, abs=1e-12), rule
        assert metrics.rule == rule


@pytest.mark.parametrize("rule", list(RULES))
def test_nothing_detected_and_nothing_annotated(rule: str) -> None:
    nothing = score(*make_split([Annotated(0, 0, BOX)], []), rule)
    assert nothing.average_precision[0] == 0
    assert math.isnan(nothing.average_precision[1])
    assert nothing.mean_average_precision == nothing.total_recall == 0
    for found in ([], [Found(0, 1, 0.5, BOX)]):
        unknown = score(*make_split([], found), rule)
        assert np.isnan(unknown.average_precision).all()
        assert math.isnan(unknown.mean_average_precision)
        assert math.isnan(unknown.total_recall)


@pytest.mark.parametrize("rule", list(RULES))
def test_no_classes(rule: str) -> None:
    assert math.isnan(evaluate([], {}, (), rule=rule).mean_average_precision)


def test_equal_scores_rank_by_image_or_by_line() -> None:
    # The wrong box of image 1 comes first in the file, the right one of image 0 second, both at 0.5. ILSVRC's kit sorts
    # by image before it sorts by score, VOC's does not.
    objects = [Annotated(0, 0, BOX)]
    found = [Found(1, 0, 0.5, BOX), Found(0, 0, 0.5, BOX)]
    assert score(*make_split(objects, found), "ilsvrc").average_precision[0] == 1
    assert score(*make_split(objects, found), "voc").average_precision[0] == 1 / 2


def test_rule_of_your_own() -> None:
    # 0.6 of the object: enough at a half, not at 0.75.
    objects, found = [Annotated(0, 0, BOX)], [Found(0, 0, 0.9, (0, 0, 40, 24))]
    strict = replace(VOC, name="strict", iou_thresholds=lambda boxes: half_iou_thresholds(boxes) * 1.5)
    assert score(*make_split(objects, found), VOC).mean_average_precision == 1
    metrics = score(*make_split(objects, found), strict)
    assert (metrics.rule, metrics.mean_average_precision) == ("strict", 0)


def test_unknown_rule_and_other_split() -> None:
    truth, found = make_split([], [])
    with pytest.raises(ValueError, match="expected a rule of ilsvrc, voc2007, voc, coco, got 'imagenet'"):
        score(truth, found, "imagenet")
    with pytest.raises(ValueError, match="expected detections of the images and classes of the ground truth"):
        score(truth, make_split([], [], images=2)[1], "voc")


def test_blocks_of_pairs_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    objects = [Annotated(image, 0, (x, 0, x + 30, 30)) for image in range(3) for x in range(0, 60, 10)]
    found = [
        Found(int(image), 0, float(generator.random()), (int(x), 0, int(x) + 30, 30))
        for image, x in generator.integers(0, [3, 60], (80, 2))
    ]
    whole = score(*make_split(objects, found), ILSVRC).matches
    monkeypatch.setattr("detection.evaluation.matching.PAIRS_AT_ONCE", 7)
    parts = score(*make_split(objects, found), ILSVRC).matches
    assert whole is not None
    assert parts is not None
    np.testing.assert_array_equal(parts.objects, whole.objects)
    assert len(set(whole.objects[whole.objects >= 0].tolist())) == (whole.outcomes == TRUE_POSITIVE).sum() > 10


def test_table_and_records_score_the_same() -> None:
    truth = GroundTruth("0", Path("0.jpg"), np.array([BOX, ELSEWHERE], np.float32), np.array([0, 1]))
    found = Detections(np.array([BOX, SHIFTED], np.float32), np.array([0.5, 0.25], np.float32), np.array([0, 1]), NAMES)
    index = split_index(["0"], NAMES)
    by_tables = score(split_objects(index, [truth]), split_detections(index, {"0": found}), "voc")
    by_records = evaluate([truth], {"0": found}, NAMES, rule="voc")
    assert by_tables.average_precision.tolist() == by_records.average_precision.tolist() == [1, 0]
