"""Splits with crowds and equal scores, and their evaluation by programs with the interface of pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

CLASSES = 3
PROGRAMS: dict[str, tuple[Any, Any]] = {
    "pycocotools": (COCO, COCOeval),
    "hotcoco": (hotcoco.COCO, hotcoco.COCOeval),
}
"""The classes of the ground truth and of the evaluation of each program."""


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


def official(objects: SplitObjects, detections: SplitDetections, program: str = "pycocotools") -> Any:
    """COCO's evaluation as its users run it: on dictionaries as in the files, loaded by `loadRes`."""
    evaluation = prepare(objects, detections, program)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def prepare(objects: SplitObjects, detections: SplitDetections, program: str = "pycocotools") -> Any:
    """COCO's evaluation before it runs, so that its parameters can be changed."""
    index = objects.index
    content = {
        "info": {},
        "images": [{"id": int(number)} for number in index.coco_image_ids],
        "categories": [{"id": int(number), "name": str(number)} for number in index.category_ids],
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
    coco, evaluation = PROGRAMS[program]
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = coco()
        ground_truth.dataset = content
        ground_truth.createIndex()
        return evaluation(ground_truth, ground_truth.loadRes(copy.deepcopy(results)), "bbox")
