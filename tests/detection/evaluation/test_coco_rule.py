from __future__ import annotations

import contextlib
import copy
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision

from detection.evaluation import score
from detection.evaluation.metrics import DetectionMetrics
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

CLASSES = 3
STATISTICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100")


def random_split(seed: int, images: int = 12) -> tuple[SplitObjects, SplitDetections]:
    """Objects of all sizes, of which several are crowds, and boxes near them and elsewhere, with equal scores."""
    generator = np.random.default_rng(seed)
    numbers = generator.permutation(np.arange(50, 50 + images))  # so that their order is not that of the rows
    index = split_index(
        [str(number) for number in numbers],
        ("cat", "dog", "owl"),
        coco_image_ids=numbers.tolist(),
        category_ids=[1, 17, 90],
    )
    count = 5 * images
    rows, labels = generator.integers(images, size=count), generator.integers(CLASSES, size=count)
    boxes = np.hstack([generator.uniform(0, 300, (count, 2)), generator.choice([20, 50, 150], (count, 2))]).round(1)
    crowd = generator.random(count) < 0.15
    areas = boxes[:, 2] * boxes[:, 3] * generator.uniform(0.5, 1, count)
    objects = SplitObjects(index, rows, labels, boxes, crowd, crowd, areas)
    around = np.repeat(boxes, 4, axis=0) + generator.normal(0, 6, (4 * count, 4))
    around[:, 2:] = np.maximum(around[:, 2:], 0)
    guesses = np.where(generator.random(4 * count) < 0.8, np.repeat(labels, 4), 0)
    scores = generator.random(4 * count).round(2)
    return objects, SplitDetections(index, np.repeat(rows, 4), guesses, around, scores)


def official(objects: SplitObjects, detections: SplitDetections) -> Any:
    """COCO's evaluation as its users run it: on dictionaries as in the files, loaded by `loadRes`."""
    index = objects.index
    ground_truth = COCO()
    ground_truth.dataset = {
        "info": {},
        "images": [{"id": int(number)} for number in index.coco_image_ids],
        "categories": [{"id": int(number)} for number in index.category_ids],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(index.coco_image_ids[objects.images[row]]),
                "category_id": int(index.category_ids[objects.labels[row]]),
                "bbox": objects.boxes_xywh[row].tolist(),
                "area": float(objects.areas[row]),
                "iscrowd": int(objects.crowd[row]),
            }
            for row in range(len(objects))
        ],
    }
    results = [
        {
            "image_id": int(index.coco_image_ids[detections.images[row]]),
            "category_id": int(index.category_ids[detections.labels[row]]),
            "bbox": detections.boxes_xywh[row].tolist(),
            "score": float(detections.scores[row]),
        }
        for row in range(len(detections))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(copy.deepcopy(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.fixture(name="split", scope="module")
def random_split_fixture() -> tuple[SplitObjects, SplitDetections]:
    return random_split(0)


@pytest.fixture(name="metrics", scope="module")
def score_of_the_split(split: tuple[SplitObjects, SplitDetections]) -> DetectionMetrics:
    return score(*split, "coco")


def test_is_what_pycocotools_says(split: tuple[SplitObjects, SplitDetections], metrics: DetectionMetrics) -> None:
    evaluation = official(*split)
    assert [metrics.details[name] for name in STATISTICS] == evaluation.stats[:9].tolist()
    assert 0.1 < metrics.mean_average_precision < 0.9
    assert metrics.mean_average_precision == pytest.approx(evaluation.stats[0], abs=1e-12)
    by_class = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    np.testing.assert_allclose(metrics.average_precision, by_class, atol=1e-12)
    np.testing.assert_allclose(metrics.recall, evaluation.eval["recall"][:, :, 0, -1].mean(axis=0), atol=1e-12)


def test_rankings_give_the_same_precision(metrics: DetectionMetrics) -> None:
    for label, rankings in enumerate(metrics.rankings):
        assert len(rankings) == 10
        average = np.mean([ranking.average_precision(metrics.recall_levels) for ranking in rankings])
        assert average == pytest.approx(metrics.average_precision[label], abs=1e-12)


def test_crowds_do_not_count(split: tuple[SplitObjects, SplitDetections], metrics: DetectionMetrics) -> None:
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
