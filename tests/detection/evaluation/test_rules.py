"""The rules as wholes: hand-derived cases, and the kits' loops on random data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.detections import Detections
from detection.evaluation import RULES, evaluate, score
from detection.evaluation.average_precision import average_precision
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detection.evaluation.rules import ILSVRC, TENTHS, VOC, half_iou_thresholds
from detection.ground_truth import GroundTruth
from detection.tables import DetectionTable, ObjectTable, detection_table, object_table, split_index

Box = tuple[int, int, int, int]
NAMES = ("cat", "dog")
BOX, SHIFTED, ELSEWHERE = (0, 0, 40, 40), (0, 4, 40, 44), (100, 100, 140, 140)


class Found(NamedTuple):
    image: int
    label: int
    score: float
    box: Box


class Annotated(NamedTuple):
    image: int
    label: int
    box: Box
    ignored: bool = False


def tables(objects: Sequence[Annotated], found: Sequence[Found], images: int = 3) -> tuple[ObjectTable, DetectionTable]:
    """Tables with the rows in the order given, which need not be that of the images."""
    index = split_index([f"{image}" for image in range(images)], NAMES)
    ignored = np.array([one.ignored for one in objects], np.bool_)
    boxes = xywh([one.box for one in objects])
    truth = ObjectTable(
        index,
        np.array([one.image for one in objects], np.int64),
        np.array([one.label for one in objects], np.int64),
        boxes,
        ignored,
        ignored,
        boxes[:, 2] * boxes[:, 3],
    )
    return truth, DetectionTable(
        index,
        np.array([one.image for one in found], np.int64),
        np.array([one.label for one in found], np.int64),
        xywh([one.box for one in found]),
        np.array([one.score for one in found], np.float64),
    )


def xywh(boxes: Sequence[Box]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes], np.float64).reshape(-1, 4)


def outcomes(rule: str, objects: Sequence[Annotated], found: Sequence[Found]) -> list[int]:
    matches = score(*tables(objects, found), rule).matches
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
        metrics = score(*tables(objects, found), rule)
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
    found = [Found(one.image, one.label, 0.5, one.box) for one in objects]
    for rule in RULES:
        metrics = score(*tables(objects, found), rule)
        assert metrics.mean_average_precision == pytest.approx(1, abs=1e-12), rule
        assert metrics.rule == rule


@pytest.mark.parametrize("rule", list(RULES))
def test_nothing_detected_and_nothing_annotated(rule: str) -> None:
    nothing = score(*tables([Annotated(0, 0, BOX)], []), rule)
    assert nothing.average_precision[0] == 0
    assert math.isnan(nothing.average_precision[1])
    assert nothing.mean_average_precision == nothing.total_recall == 0
    for found in ([], [Found(0, 1, 0.5, BOX)]):
        unknown = score(*tables([], found), rule)
        assert np.isnan(unknown.average_precision).all()
        assert math.isnan(unknown.mean_average_precision)
        assert math.isnan(unknown.total_recall)


def test_equal_scores_rank_by_image_or_by_line() -> None:
    # The wrong box of image 1 comes first in the file, the right one of image 0 second, both at 0.5. ILSVRC's kit sorts
    # by image before it sorts by score, VOC's does not.
    objects = [Annotated(0, 0, BOX)]
    found = [Found(1, 0, 0.5, BOX), Found(0, 0, 0.5, BOX)]
    assert score(*tables(objects, found), "ilsvrc").average_precision[0] == 1
    assert score(*tables(objects, found), "voc").average_precision[0] == 1 / 2


def test_rule_of_your_own() -> None:
    # 0.6 of the object: enough at a half, not at 0.75.
    objects, found = [Annotated(0, 0, BOX)], [Found(0, 0, 0.9, (0, 0, 40, 24))]
    strict = replace(VOC, name="strict", iou_thresholds=lambda boxes: half_iou_thresholds(boxes) * 1.5)
    assert score(*tables(objects, found), VOC).mean_average_precision == 1
    metrics = score(*tables(objects, found), strict)
    assert (metrics.rule, metrics.mean_average_precision) == ("strict", 0)


def test_unknown_rule_and_other_split() -> None:
    truth, found = tables([], [])
    with pytest.raises(ValueError, match="expected a rule of ilsvrc, voc2007, voc, coco, got 'imagenet'"):
        score(truth, found, "imagenet")
    with pytest.raises(ValueError, match="expected detections of the images and classes of the ground truth"):
        score(truth, tables([], [], images=2)[1], "voc")


def naive_score(rule: str, objects: Sequence[Annotated], found: Sequence[Found], label: int, *, images: int) -> float:
    """`eval_detection.m` or `VOCevaldet.m`, on one class, in loops over plain numbers."""
    ranked = [one for one in found if one.label == label]
    if rule == "ilsvrc":
        ranked.sort(key=lambda one: one.image)
    ranked.sort(key=lambda one: -one.score)
    of_class = [one for one in objects if one.label == label]
    taken = [False] * len(of_class)
    flags = []
    for one in ranked:
        best, best_overlap = -1, -1.0
        for k, truth in enumerate(of_class):
            x1, y1, x2, y2 = truth.box
            area = (x2 - x1) * (y2 - y1)
            width, height = min(one.box[2], x2) - max(one.box[0], x1), min(one.box[3], y2) - max(one.box[1], y1)
            if truth.image != one.image or width <= 0 or height <= 0:
                continue
            own = (one.box[2] - one.box[0]) * (one.box[3] - one.box[1])
            overlap = width * height / (own + area - width * height)
            least = min(0.5, area / ((x2 - x1 + 10) * (y2 - y1 + 10))) if rule == "ilsvrc" else 0.0
            if rule == "ilsvrc" and (taken[k] or overlap < least):
                continue
            if overlap > best_overlap:
                best, best_overlap = k, overlap
        if best < 0 or (rule != "ilsvrc" and best_overlap < 0.5):
            flags.append(False)
        elif not of_class[best].ignored:
            flags.append(not taken[best])
            taken[best] = True
    count = sum(not one.ignored for one in of_class)
    if not count:
        return math.nan
    assert images > max((one.image for one in objects), default=0)
    return naive_eleven_points(flags, count) if rule == "voc2007" else naive_area(flags, count)


def naive_area(flags: Sequence[bool], count: int) -> float:
    recall, precision = [0.0], [0.0]
    for rank in range(1, len(flags) + 1):
        recall.append(sum(flags[:rank]) / count)
        precision.append(sum(flags[:rank]) / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def naive_eleven_points(flags: Sequence[bool], count: int) -> float:
    total = 0.0
    for level in range(11):
        reached = [
            sum(flags[:rank]) / rank for rank in range(1, len(flags) + 1) if 10 * sum(flags[:rank]) >= level * count
        ]
        total += max(reached, default=0.0)
    return total / 11


small_boxes = st.tuples(*[st.integers(0, 30)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
places = (st.integers(0, 2), st.integers(0, 1))


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "voc"])
@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(
    st.lists(st.builds(Annotated, *places, small_boxes, st.just(False)), max_size=6),
    st.lists(st.builds(Found, *places, st.sampled_from([0.1, 0.5, 0.9]), small_boxes), max_size=10),
)
def test_agrees_with_the_kits(rule: str, objects: list[Annotated], found: list[Found]) -> None:
    metrics = score(*tables(objects, found), rule)
    expected = [naive_score(rule, objects, found, label, images=3) for label in range(2)]
    np.testing.assert_allclose(metrics.average_precision, expected, atol=1e-12)


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "voc"])
def test_agrees_with_the_kits_on_many_boxes(rule: str) -> None:
    generator = np.random.default_rng(3)
    objects, found = [], []
    for image in range(3):
        for _ in range(12):
            x, y, width, height = (int(side) for side in generator.integers(5, 60, 4))
            label = int(generator.integers(2))
            ignored = rule != "ilsvrc" and bool(generator.random() < 0.2)  # of which its kit does not know
            objects.append(Annotated(image, label, (x, y, x + width, y + height), ignored))
            for _ in range(4):
                left, top, right, bottom = (int(off) for off in generator.integers(-5, 6, 4))
                box = (x + left, y + top, max(x + width + right, x + left), max(y + height + bottom, y + top))
                found.append(Found(image, label, round(float(generator.random()), 1), box))
    generator.shuffle(found)
    metrics = score(*tables(objects, [Found(*one) for one in found]), rule)
    expected = [naive_score(rule, objects, [Found(*one) for one in found], label, images=3) for label in range(2)]
    np.testing.assert_allclose(metrics.average_precision, expected, atol=1e-12)
    assert 0.1 < metrics.mean_average_precision < 0.9


def test_blocks_of_pairs_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    objects = [Annotated(image, 0, (x, 0, x + 30, 30)) for image in range(3) for x in range(0, 60, 10)]
    found = [
        Found(int(image), 0, float(generator.random()), (int(x), 0, int(x) + 30, 30))
        for image, x in generator.integers(0, [3, 60], (80, 2))
    ]
    whole = score(*tables(objects, found), ILSVRC).matches
    monkeypatch.setattr("detection.evaluation.matching.PAIRS_AT_ONCE", 7)
    parts = score(*tables(objects, found), ILSVRC).matches
    assert whole is not None
    assert parts is not None
    np.testing.assert_array_equal(parts.objects, whole.objects)
    assert len(set(whole.objects[whole.objects >= 0].tolist())) == (whole.outcomes == TRUE_POSITIVE).sum() > 10


def test_table_and_records_score_the_same() -> None:
    truth = GroundTruth("0", Path("0.jpg"), np.array([BOX, ELSEWHERE], np.float32), np.array([0, 1]))
    found = Detections(np.array([BOX, SHIFTED], np.float32), np.array([0.5, 0.25], np.float32), np.array([0, 1]), NAMES)
    index = split_index(["0"], NAMES)
    by_tables = score(object_table(index, [truth]), detection_table(index, {"0": found}), "voc")
    by_records = evaluate([truth], {"0": found}, NAMES, rule="voc")
    assert by_tables.average_precision.tolist() == by_records.average_precision.tolist() == [1, 0]
