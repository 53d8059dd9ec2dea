from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from detection.evaluation import score
from detection.evaluation.coco_rule import LOOPS
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics
from detection.runtime.second_process import compiled_process
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index
from tests.detection.evaluation.coco_examples import CLASSES, PROGRAMS, official, random_split

Split = tuple[SplitObjects, SplitDetections]


@pytest.fixture(name="split", scope="module")
def random_split_fixture() -> Split:
    return random_split(0)


@pytest.fixture(name="metrics", scope="module")
def score_of_the_split(split: Split) -> DetectionMetrics:
    return score(*split, "coco")


def equal_overlaps(objects: SplitObjects, detections: SplitDetections) -> Split:
    boxes = [split.boxes_xywh.round(-1) for split in (objects, detections)]
    return replace(objects, boxes_xywh=boxes[0]), replace(detections, boxes_xywh=boxes[1])


CASES: dict[str, Callable[[SplitObjects, SplitDetections], Split]] = {
    "as they are": lambda objects, detections: (objects, detections),
    "equal overlaps": equal_overlaps,
    "more than 100 a class": lambda objects, detections: (objects, detections[np.arange(len(detections)).repeat(9)]),
    "areas between two sizes": lambda objects, detections: (
        replace(objects, areas=objects.areas * 0 + 32**2),
        detections,
    ),
    "crowds only": lambda objects, detections: (objects[objects.crowd], detections),
    "a class without objects": lambda objects, detections: (objects[objects.labels != 1], detections),
    "a class without detections": lambda objects, detections: (objects, detections[detections.labels != 1]),
    "one detection": lambda objects, detections: (objects, detections[np.arange(1)]),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("case", CASES)
def test_is_what_other_programs_say(case: str, program: str) -> None:
    split = CASES[case](*random_split(0))
    evaluation, metrics = official(*split, program), score(*split, "coco")
    expected = np.array(evaluation.stats)
    np.testing.assert_array_equal(list(metrics.details.values()), np.where(expected == -1, np.nan, expected))
    precision, recall = np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])
    by_class = precision[:, :, :, 0, -1].mean(axis=(0, 1))
    np.testing.assert_allclose(metrics.average_precision, np.where(by_class == -1, np.nan, by_class), atol=1e-12)
    by_class = recall[:, :, 0, -1].mean(axis=0)
    np.testing.assert_allclose(metrics.recall, np.where(by_class == -1, np.nan, by_class), atol=1e-12)


def test_figures_are_plausible(metrics: DetectionMetrics) -> None:
    assert 0.1 < metrics.mean_average_precision < 0.9
    assert metrics.mean_average_precision == pytest.approx(metrics.details["AP"], abs=1e-12)
    assert all(0.1 < value < 0.95 for value in metrics.details.values())


@pytest.mark.parametrize("case", CASES)
def test_detections_take_the_objects_of_pycocotools(case: str) -> None:
    objects, detections = CASES[case](*random_split(1))
    matches = score(objects, detections, "coco").matches
    expected = np.full(len(detections), IGNORED, np.int8)
    taken = np.full(len(detections), -1)
    for image in official(objects, detections).evalImgs:
        if image is not None and image["aRng"] == [0, 1e10]:
            rows, numbers = np.array(image["dtIds"], np.int64) - 1, image["dtMatches"][0].astype(np.int64)
            hit = np.where(numbers > 0, TRUE_POSITIVE, FALSE_POSITIVE)
            expected[rows], taken[rows] = np.where(image["dtIgnore"][0], IGNORED, hit), numbers - 1
    np.testing.assert_array_equal(matches.outcomes, expected)
    np.testing.assert_array_equal(matches.objects, taken)
    ranks = np.argsort(np.argsort(detections.index.coco_image_ids))[detections.images]
    np.testing.assert_array_equal(matches.order, np.lexsort((ranks, -detections.scores)))


def test_without_detections_nothing_is_found() -> None:
    objects, detections = random_split(2)
    metrics = score(objects, detections[np.arange(0)], "coco")
    assert set(metrics.details.values()) == {0}
    assert metrics.recall.tolist() == [0] * CLASSES


def test_rankings_give_the_same_precision(metrics: DetectionMetrics) -> None:
    for label, rankings in enumerate(metrics.rankings):
        assert len(rankings) == 10
        average = np.mean([ranking.average_precision(metrics.recall_levels) for ranking in rankings])
        assert average == pytest.approx(metrics.average_precision[label], abs=1e-12)


def test_crowds_do_not_count(split: Split, metrics: DetectionMetrics) -> None:
    objects, _ = split
    assert objects.crowd.any()
    expected = np.bincount(objects.labels[~objects.crowd], minlength=CLASSES)
    assert metrics.ground_truth_counts.tolist() == expected.tolist()


def test_is_what_torchmetrics_says() -> None:
    objects, detections = random_split(1)
    objects = objects[~objects.crowd]
    untied = np.random.default_rng(2).permutation(len(detections)) / len(detections)  # ties would rank by image there
    detections = replace(detections, scores=untied)
    measure = MeanAveragePrecision(box_format="xywh", class_metrics=True)
    for row in range(len(objects.index.image_ids)):
        truth, found = objects[objects.images == row], detections[detections.images == row]
        measure.update(
            [
                {
                    "boxes": torch.tensor(found.boxes_xywh),
                    "scores": torch.tensor(found.scores),
                    "labels": torch.tensor(found.labels),
                }
            ],
            [
                {
                    "boxes": torch.tensor(truth.boxes_xywh),
                    "labels": torch.tensor(truth.labels),
                    "area": torch.tensor(truth.areas),
                }
            ],
        )
    expected = measure.compute()
    metrics = score(objects, detections, "coco")
    assert metrics.mean_average_precision == pytest.approx(float(expected["map"]), abs=1e-4)
    assert metrics.details["AP50"] == pytest.approx(float(expected["map_50"]), abs=1e-4)
    np.testing.assert_allclose(metrics.average_precision, expected["map_per_class"].numpy(), atol=1e-4)


def test_half_overlap_alone_by_hand() -> None:
    # A box over 6 / 10 of the only object: found at 0.5, 0.55 and 0.6 of the ten overlaps, each with AP 1.
    index = split_index(["1"], ("cat",))
    nothing = np.zeros(1, np.bool_)
    rows, boxes = np.zeros(1, np.int64), np.array([[0.0, 0, 40, 40]])
    objects = SplitObjects(index, rows, rows, boxes, nothing, nothing, np.array([1600.0]))
    metrics = score(objects, SplitDetections(index, rows, rows, boxes * (1, 1, 1, 0.6), np.ones(1)), "coco")
    assert metrics.mean_average_precision == pytest.approx(0.3, abs=1e-12)
    assert metrics.details["AP50"] == pytest.approx(1, abs=1e-12)
    assert metrics.details["AP75"] == 0
    assert math.isnan(metrics.details["AP_small"])  # 40 x 40 px is medium


def test_the_second_process_gives_the_same_figures(
    split: Split, metrics: DetectionMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LOOPS, None)  # this process cannot import the loops
    with compiled_process([LOOPS]):
        other = score(*split, "coco")
    assert other.details == metrics.details
    np.testing.assert_array_equal(other.matches.objects, metrics.matches.objects)
