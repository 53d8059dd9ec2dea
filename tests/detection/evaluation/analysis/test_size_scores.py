from __future__ import annotations

import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from detection.evaluation import score
from detection.evaluation.analysis.size_scores import score_by_size
from detection.evaluation.average_precision import average_precision
from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.rules import COCO_AT_HALF, ILSVRC, VOC, VOC2007, MatchingRule
from detection.structures.boxes import paired_iou
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index
from tests.detection.evaluation.coco_examples import prepare

SIZES = ("small", "medium", "large")


def random_split(seed: int, *, crowds: bool) -> tuple[SplitObjects, SplitDetections]:
    """Objects of all sizes, boxes near them that may have another size, and boxes elsewhere."""
    generator = np.random.default_rng(seed)
    index = split_index([str(number) for number in range(1, 13)], ("cat", "dog", "owl"))
    count = 90
    images, labels = generator.integers(12, size=count), generator.integers(2, size=count)
    boxes = np.hstack([generator.uniform(0, 200, (count, 2)), generator.choice([20, 34, 60, 120, 150], (count, 2))])
    ignored = (generator.random(count) < 0.15) & crowds
    areas = boxes[:, 2] * boxes[:, 3] * generator.uniform(0.5, 0.99, count)
    objects = SplitObjects(index, images, labels, boxes, ignored, ignored, areas)
    around = np.repeat(boxes, 4, axis=0) + generator.normal(0, 5, (4 * count, 4))
    around[:, 2:] = np.maximum(around[:, 2:], 0)
    guesses = np.where(generator.random(4 * count) < 0.7, np.repeat(labels, 4), 2)
    return objects, SplitDetections(index, np.repeat(images, 4), guesses, around, generator.random(4 * count))


def test_agrees_with_pycocotools() -> None:
    objects, detections = random_split(0, crowds=False)
    evaluation = prepare(objects, detections)
    evaluation.params.iouThrs = np.array([0.5])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    by_size = score_by_size(score(objects, detections, COCO_AT_HALF))
    for place, name in enumerate(SIZES, start=1):
        precision = evaluation.eval["precision"][0, :, :2, place, -1]  # there is no owl
        assert by_size[name].mean_average_precision == pytest.approx(precision.mean(), abs=1e-12)
        assert 0.1 < by_size[name].mean_average_precision < 0.9
    assert sum(by_size[name].object_count for name in SIZES) == len(objects)


def test_coco_has_the_figures_of_pycocotools() -> None:
    metrics = score(*random_split(1, crowds=True), "coco")
    assert {name: item.mean_average_precision for name, item in score_by_size(metrics).items()} == {
        name: metrics.details[f"AP_{name}"] for name in SIZES
    }


def test_each_object_of_another_size_excuses_one_detection() -> None:
    # Two boxes of 30x30 on an object of 34x34: the first is ignored for it, the second is a duplicate, and small. The
    # object of 20x20 is found behind them: miss, hit.
    objects, detections = one_class([34, 20], [(30, 0.9), (20, 0.7)])
    twice = detections[np.array([0, 0, 1])]
    assert score_by_size(score(objects, twice, "voc"))["small"] == (1 / 2, 1)
    ignored = replace(objects, ignored=np.array([True, False]))
    assert score_by_size(score(ignored, twice, "voc"))["small"] == (1, 1)


def one_class(sides: list[int], found: list[tuple[int, float]]) -> tuple[SplitObjects, SplitDetections]:
    """Square objects of these sides, one in each image, and detections: the side of a square there, and its score."""
    index = split_index([str(row) for row in range(len(sides))], ("cat",))
    squares = [
        np.array([[0.0, 0, side, side] for side in column]).reshape(-1, 4)
        for column in (sides, [side for side, _ in found])
    ]
    nothing = np.zeros(len(sides), np.bool_)
    rows = np.arange(len(sides))
    objects = SplitObjects(index, rows, rows * 0, squares[0], nothing, nothing, squares[0][:, 2] ** 2)
    places = np.arange(len(found))
    return objects, SplitDetections(index, places, places * 0, squares[1], np.array([item for _, item in found]))


@pytest.mark.parametrize("rule", [ILSVRC, VOC, VOC2007])
def test_by_hand(rule: MatchingRule) -> None:
    # 32x32 is small and 96x96 medium. The first is found by 36x36, which is medium (1024 / 1296 = 0.79). The second is
    # missed by 10x10, a wrong box that is small and counts with the small ones only. The third is found.
    objects, detections = one_class([32, 96, 100], [(36, 0.9), (10, 0.95), (100, 0.8)])
    by_size = score_by_size(score(objects, detections, rule))
    assert by_size == {"small": (pytest.approx(1 / 2), 1), "medium": (0, 1), "large": (pytest.approx(1), 1)}


def test_size_without_objects() -> None:
    by_size = score_by_size(score(*one_class([50], [(50, 0.5)]), "voc"))
    assert by_size["medium"] == (1, 1)
    assert math.isnan(by_size["small"].mean_average_precision)
    assert by_size["large"].object_count == 0


def naive_flags(metrics: DetectionMetrics, label: int, low: float, high: float) -> tuple[list[bool], int]:
    """Return in loops True for right detections of a class, best first, and the number of objects that count."""
    objects, detections, rule = metrics.objects, metrics.detections, metrics.matches.rule
    thresholds = rule.iou_thresholds(objects.boxes)
    other = objects.ignored | np.array([not low < area <= high for area in objects.areas])
    taken: set[int] = set()
    flags = []
    for row in (int(row) for row in metrics.matches.order if detections.labels[row] == label):
        overlaps = paired_iou(detections.boxes[[row]], objects.boxes)
        here = (objects.images == detections.images[row]) & (objects.labels == label) & (overlaps >= thresholds)
        places = [int(place) for place in np.flatnonzero(here) if not rule.passes_over_taken or place not in taken]
        places.sort(key=lambda place: (rule.passes_over_taken and other[place], -overlaps[place]))
        if places and places[0] not in taken:
            if not objects.ignored[places[0]]:
                taken.add(places[0])
            if not other[places[0]]:
                flags.append(True)
        elif low < detections.boxes_xywh[row, 2] * detections.boxes_xywh[row, 3] <= high:
            flags.append(False)
    return flags, int(((objects.labels == label) & ~other).sum())


@pytest.mark.parametrize("rule", [ILSVRC, VOC, VOC2007])
def test_agrees_with_loops(rule: MatchingRule) -> None:
    metrics = score(*random_split(2, crowds=True), rule)
    found = score_by_size(metrics)
    for name, limits in {"small": (-1.0, 1024.0), "medium": (1024.0, 9216.0), "large": (9216.0, math.inf)}.items():
        areas = []
        for label in range(2):
            flags, count = naive_flags(metrics, label, *limits)
            falling = np.arange(len(flags), 0.0, -1)
            areas.append(average_precision(falling, np.array(flags, np.bool_), count, rule.recall_levels))
        assert found[name].mean_average_precision == pytest.approx(np.mean(areas), abs=1e-12)
        assert 0.1 < np.mean(areas) < 0.95
