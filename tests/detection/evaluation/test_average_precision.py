from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation import evaluate
from detection.evaluation.average_precision import average_precision, precision_recall
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth

NAMES = ("cat", "dog", "owl")
BOX = (0.0, 0.0, 40.0, 40.0)
ELSEWHERE = (100.0, 100.0, 140.0, 140.0)


def truth(image_id: str, boxes: Sequence[Sequence[float]], labels: Sequence[int]) -> GroundTruth:
    return GroundTruth(image_id, Path(f"{image_id}.jpg"), np.array(boxes, np.float32), np.array(labels, np.int64))


def detected(boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int]) -> Detections:
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels, np.int64), NAMES)


def area(scores: Sequence[float], true_positive: Sequence[bool], ground_truth_count: int) -> float:
    return average_precision(np.array(scores, np.float32), np.array(true_positive, np.bool_), ground_truth_count)


def kit_area(true_positive: Sequence[bool], ground_truth_count: int) -> float:
    """`VOCap.m` written with loops, for detections that are given best first."""
    recall, precision, found = [0.0], [0.0], 0
    for rank, hit in enumerate(true_positive, start=1):
        found += hit
        recall.append(found / ground_truth_count)
        precision.append(found / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def test_precision_and_recall_at_each_rank() -> None:
    # By falling score: hit (0.9), miss (0.8), hit (0.3); 4 objects.
    precision, recall = precision_recall(np.array([0.3, 0.9, 0.8]), np.array([True, True, False]), 4)
    assert precision.tolist() == [1, 1 / 2, 2 / 3]
    assert recall.tolist() == [1 / 4, 1 / 4, 2 / 4]


def test_area_with_objects_never_found() -> None:
    # The hits come at ranks 1 and 3: precision 1 up to recall 1/4, 2/3 up to 2/4, then 0.
    # 1 * 1/4 + 2/3 * 1/4 = 5/12
    assert area([0.9, 0.8, 0.3], [True, False, True], 4) == pytest.approx(5 / 12, abs=1e-15)


def test_envelope_lifts_a_low_precision() -> None:
    # Precision 0, 1/2, 2/3: the first of 2 objects is found at 1/2, but 2/3 is reached at a higher recall.
    # 2/3 * 1/2 + 2/3 * 1/2 = 2/3, and not (1/2 + 2/3) / 2 = 7/12
    assert area([0.9, 0.8, 0.7], [False, True, True], 2) == pytest.approx(2 / 3, abs=1e-15)


def test_false_positives_after_the_last_hit_cost_nothing() -> None:
    assert area([0.9, 0.2, 0.1], [True, False, False], 1) == 1


def test_equal_scores_rank_in_the_order_given() -> None:
    assert area([0.5, 0.5], [True, False], 1) == 1
    assert area([0.5, 0.5], [False, True], 1) == 1 / 2
    # Many, as sorting that is not stable keeps the order of a few: 100 each at 0.9 and 0.5, in turn, hit first at 0.9.
    assert area([0.5, 0.9] * 100, [False, True] + [False] * 198, 1) == 1
    assert area([0.5, 0.9] * 100, [False] * 199 + [True], 1) == 1 / 100


@pytest.mark.parametrize("count", [1, 3, 7, 49])
def test_perfect_detections_score_exactly_one(count: int) -> None:
    assert area(np.linspace(1, 0.1, count).tolist(), [True] * count, count) == 1


def test_nothing_detected() -> None:
    assert area([], [], 3) == 0
    assert area([0.5, 0.4], [False, False], 3) == 0


def test_class_without_objects_is_nan() -> None:
    assert math.isnan(area([0.5], [False], 0))
    assert math.isnan(area([], [], 0))
    precision, recall = precision_recall(np.array([0.5]), np.array([False]), 0)
    assert precision.tolist() == [0]
    assert np.isnan(recall).tolist() == [True]


def test_arrays_are_checked() -> None:
    with pytest.raises(ValueError, match=r"must both be \[N\], got \[2\] and \[1\]"):
        area([0.5, 0.4], [True], 1)
    with pytest.raises(ValueError, match=r"must both be \[N\], got \[1, 1\] and \[1, 1\]"):
        average_precision(np.ones((1, 1)), np.ones((1, 1), np.bool_), 1)
    with pytest.raises(ValueError, match="got 2 true positives, more than the 1 ground truths"):
        area([0.5, 0.4], [True, True], 1)


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.6, 0.9]), st.booleans()), max_size=12), st.integers(0, 3))
def test_area_agrees_with_the_loops_of_the_kit(ranked: list[tuple[float, bool]], never_found: int) -> None:
    count = sum(hit for _, hit in ranked) + never_found
    best_first = sorted(ranked, key=lambda pair: -pair[0])  # stable
    found = area([score for score, _ in ranked], [hit for _, hit in ranked], count)
    if count == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(kit_area([hit for _, hit in best_first], count), abs=1e-12)


def test_two_images_and_three_classes() -> None:
    # cat: 2 objects, a and b. By score: a 0.9 hit, b 0.8 elsewhere, b 0.7 hit. Precision 1, 1/2, 2/3:
    #      1 * 1/2 + 2/3 * 1/2 = 5/6, recall 1.
    # dog: 2 objects, both in b; one found, at rank 1: 1 * 1/2, recall 1/2.
    # owl: no object, one detection, not counted. Mean: (5/6 + 1/2) / 2 = 2/3.
    truths = [truth("a", [BOX], [0]), truth("b", [BOX, BOX, ELSEWHERE], [0, 1, 1])]
    detections = {
        "b": detected([BOX, ELSEWHERE, BOX, BOX], [0.7, 0.8, 0.6, 0.95], [0, 0, 1, 2]),
        "a": detected([BOX], [0.9], [0]),
    }
    metrics = evaluate(truths, detections, NAMES)
    assert metrics.class_names == NAMES
    assert metrics.ground_truth_counts.tolist() == [2, 2, 0]
    np.testing.assert_allclose(metrics.average_precision, [5 / 6, 1 / 2, np.nan], rtol=1e-15)
    np.testing.assert_array_equal(metrics.recall, [1, 1 / 2, np.nan])
    assert metrics.mean_average_precision == pytest.approx(2 / 3, abs=1e-15)


def test_equal_scores_rank_by_the_order_of_the_images() -> None:
    # One object, in a; at 0.5 a hit in a and a miss in b. Images in the order a, b: hit first, 1. In b, a: 1/2.
    truths = [truth("a", [BOX], [0]), truth("b", [], [])]
    detections = {"b": detected([BOX], [0.5], [0]), "a": detected([BOX], [0.5], [0])}
    assert evaluate(truths, detections, NAMES).average_precision[0] == 1
    assert evaluate(truths[::-1], detections, NAMES).average_precision[0] == 1 / 2


def test_duplicate_lowers_the_area() -> None:
    # Two objects; the best box is found again before the other object: hit, duplicate, hit: (1 + 2/3) / 2 = 5/6.
    truths = [truth("a", [BOX, ELSEWHERE], [0, 0])]
    detections = {"a": detected([BOX, BOX, ELSEWHERE], [0.9, 0.8, 0.7], [0, 0, 0])}
    assert evaluate(truths, detections, NAMES).average_precision[0] == pytest.approx(5 / 6, abs=1e-15)


def test_image_without_detections_counts_its_objects() -> None:
    # One of two objects found, at precision 1: 1/2, with the other image absent or empty.
    truths = [truth("a", [BOX], [0]), truth("b", [BOX], [0])]
    found = detected([BOX], [0.9], [0])
    assert evaluate(truths, {"a": found}, NAMES).average_precision[0] == 1 / 2
    assert evaluate(truths, {"a": found, "b": found[:0]}, NAMES).average_precision[0] == 1 / 2


def test_nothing_to_find() -> None:
    for truths, detections in (
        ([], {}),
        ([truth("a", [], [])], {}),
        ([truth("a", [], [])], {"a": detected([BOX], [0.9], [0])}),
    ):
        metrics = evaluate(truths, detections, NAMES)
        assert np.isnan(metrics.average_precision).tolist() == [True] * 3
        assert np.isnan(metrics.recall).tolist() == [True] * 3
        assert math.isnan(metrics.mean_average_precision)


def test_blacklisted_class_of_an_image_counts_neither_way() -> None:
    # cat in a is ignored: of its object, hit and miss none counts. In b the cat is found after a miss: 1/2.
    # Without the blacklist: hit, miss, miss, hit of 2 objects: (1 + 2/4) / 2 = 3/4. The dog in a counts throughout.
    truths = [truth("a", [BOX, BOX], [0, 1]), truth("b", [BOX], [0])]
    detections = {
        "a": detected([BOX, ELSEWHERE, BOX], [0.9, 0.8, 0.5], [0, 0, 1]),
        "b": detected([ELSEWHERE, BOX], [0.7, 0.6], [0, 0]),
    }
    np.testing.assert_array_equal(evaluate(truths, detections, NAMES).average_precision, [3 / 4, 1, np.nan])
    metrics = evaluate(truths, detections, NAMES, blacklist={"a": [0], "not listed": [1]})
    np.testing.assert_array_equal(metrics.average_precision, [1 / 2, 1, np.nan])
    assert metrics.ground_truth_counts.tolist() == [1, 1, 0]


def test_disagreeing_input_is_named() -> None:
    item, found = [truth("a", [BOX], [0])], detected([BOX], [0.9], [0])
    with pytest.raises(ValueError, match="detections of image elsewhere, which is not in the ground truth"):
        evaluate(item, {"a": found, "elsewhere": found}, NAMES)
    with pytest.raises(ValueError, match="detections of image a: expected the 3 class names"):
        evaluate(item, {"a": found}, ("dog", "cat", "owl"))
    with pytest.raises(ValueError, match="image_ids must differ, got 'a' twice"):
        evaluate(item * 2, {}, NAMES)
    with pytest.raises(ValueError, match="image a: labels must be below 3, the number of classes, got 3"):
        evaluate([truth("a", [BOX], [3])], {}, NAMES)


def random_data(seed: int, image_count: int) -> tuple[list[GroundTruth], dict[str, Detections]]:
    """Objects of 30 px and more, for which ILSVRC also requires an IoU of 0.5, and inexact detections."""
    generator = np.random.default_rng(seed)
    truths, detections = [], {}
    for i in range(image_count):
        corners = generator.uniform(0, 200, (generator.integers(0, 6), 2))
        boxes = np.hstack([corners, corners + generator.uniform(30, 120, corners.shape)]).astype(np.float32)
        labels = generator.integers(0, 3, len(boxes))
        truths.append(truth(f"{i}", boxes.tolist(), labels.tolist()))
        off = np.repeat(boxes, 3, axis=0) + generator.uniform(-14, 14, (3 * len(boxes), 4))
        stray = np.array([[10, 10, 60, 70], [90, 20, 150, 160]]) + generator.uniform(0, 9, (2, 4))
        found = np.vstack([off, stray])
        guesses = np.append(np.where(generator.random(len(off)) < 0.7, np.repeat(labels, 3), 0), [1, 2])
        detections[f"{i}"] = detected(found.tolist(), generator.random(len(found)).tolist(), guesses.tolist())
    return truths, detections


def xywh(box: Sequence[float]) -> list[float]:
    x1, y1, x2, y2 = (float(side) for side in box)
    return [x1, y1, x2 - x1, y2 - y1]


def coco_evaluation(truths: list[GroundTruth], detections: dict[str, Detections]) -> Any:
    annotations = [
        {"image_id": i, "category_id": int(label), "bbox": xywh(box), "area": xywh(box)[2] * xywh(box)[3], "iscrowd": 0}
        for i, item in enumerate(truths)
        for box, label in zip(item.boxes, item.labels, strict=True)
    ]
    ground_truth = COCO()
    ground_truth.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(len(truths))],
        "categories": [{"id": label, "name": name} for label, name in enumerate(NAMES)],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations, start=1)],
    }
    results = [
        {"image_id": i, "category_id": int(label), "bbox": xywh(box), "score": float(score)}
        for i, item in enumerate(truths)
        for box, label, score in zip(
            detections[item.image_id].boxes,
            detections[item.image_id].labels,
            detections[item.image_id].scores,
            strict=True,
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval


def test_agrees_with_pycocotools_where_the_rules_agree() -> None:
    # Both take the best free object at half overlap. COCO reads the envelope at 101 recalls instead of integrating it:
    # read ours there too, and the areas differ by at most one of the 100 steps.
    truths, detections = random_data(seed=0, image_count=60)
    coco = coco_evaluation(truths, detections)
    metrics = evaluate(truths, detections, NAMES)
    for label in range(len(NAMES)):
        ranking = metrics.rankings[label][0]
        precision, recall = precision_recall(ranking.scores, ranking.true_positive, len(ranking.object_images))
        sampled = [
            max((p for p, r in zip(precision, recall, strict=True) if r >= at), default=0)
            for at in np.linspace(0, 1, 101)
        ]
        expected = coco["precision"][0, :, label, 0, -1]
        np.testing.assert_allclose(sampled, expected, atol=1e-12)
        assert metrics.recall[label] == pytest.approx(coco["recall"][0, label, 0, -1], abs=1e-12)
        assert metrics.average_precision[label] == pytest.approx(expected.mean(), abs=0.01)
        assert 0.2 < metrics.average_precision[label] < 0.9
    assert metrics.mean_average_precision == pytest.approx(coco["precision"][0, :, :, 0, -1].mean(), abs=0.01)


def test_score_does_not_depend_on_the_order_of_detections() -> None:
    truths, detections = random_data(seed=1, image_count=20)
    generator = np.random.default_rng(1)
    shuffled = {
        image_id: detections[image_id][generator.permutation(len(detections[image_id]))]
        for image_id in reversed(detections)
    }
    expected = evaluate(truths, detections, NAMES).average_precision
    found = evaluate(truths[::-1], shuffled, NAMES).average_precision
    np.testing.assert_array_equal(found, expected)
