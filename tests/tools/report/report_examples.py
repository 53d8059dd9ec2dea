"""A report with every section, for classes and images whose names would harm a page that did not escape them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from detection.evaluation import DetectionMetrics, score
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index
from tools.report.score_report import build_report

SCRIPT_CLASS = "<script>document.title = 'harmed'</script>"
CLOSING_CLASS = "</script><img src=x onerror=\"document.title = 'harmed'\">{{script}}"
CLASSES = ("cat", "dog", SCRIPT_CLASS, CLOSING_CLASS, "__proto__", "owl")
IMAGES = ("one", "two", '"><img src=http://192.0.2.1/a.png onerror="document.title = \'harmed\'">')

OBJECTS = [(0, 0, 10), (0, 1, 60), (1, 0, 30), (1, 2, 100), (2, 3, 20), (2, 4, 120)]
DETECTIONS = [
    *((0, 0, 10, 0.9), (0, 0, 12, 0.8), (0, 1, 100, 0.5), (1, 0, 30, 0.7), (1, 2, 100, 0.6)),
    *((2, 3, 20, 0.4), (2, 0, 90, 0.3), (2, 4, 120, 0.2)),
]
"""Image, label, x and score of detections; all boxes are 30 pixels wide, and all images have 160 x 80 pixels."""


def score_hostile_names() -> DetectionMetrics:
    index = split_index(IMAGES, CLASSES, sizes=[(80, 160)] * len(IMAGES))

    def columns(rows: list[Any]) -> dict[str, Any]:
        table = np.array(rows, np.float64)
        boxes = np.column_stack([table[:, 2], np.full((len(table), 3), (20, 30, 30))])
        return {"images": table[:, 0].astype(int), "labels": table[:, 1].astype(int), "boxes_xywh": boxes}

    flags = np.zeros(len(OBJECTS), np.bool_)
    areas = np.full(len(OBJECTS), 900.0)
    objects = SplitObjects(index, **columns(OBJECTS), ignored=flags, crowd=flags, areas=areas)
    scores = np.array([item[-1] for item in DETECTIONS])
    return score(objects, SplitDetections(index, **columns(DETECTIONS), scores=scores), "voc")


def report_every_section(metrics: DetectionMetrics) -> dict[str, Any]:
    curve = {"recall": [0.5, 0.5, 1.0], "precision": [1.0, 0.5, 2 / 3], "score": [0.9, 0.8, 0.7]}
    best = {"score_threshold": 0.7, "f1": 0.8, "precision": 2 / 3, "recall": 1.0}
    nothing: dict[str, list[float]] = {"recall": [], "precision": [], "score": []}
    kinds = ("classification", "localisation", "both", "duplicate", "background", "missed")
    return build_report(metrics, resamples=20, warnings=["classes <b>without</b> objects"]) | {
        "curves": dict.fromkeys(CLASSES, curve) | {"owl": nothing},
        "best_f1_by_class": dict.fromkeys(CLASSES, best) | {"owl": dict.fromkeys(best)},
        "best_f1": {"score_threshold": 0.55, "f1": 0.6, "precision": 0.75, "recall": 0.5},
        "AP_by_size": {"small": {"mAP": 0.5, "objects": 6}, "medium": {"mAP": None, "objects": 0}},
        "errors": {kind: {"count": count, "mAP_cost": count / 100} for count, kind in enumerate(kinds)},
        "confusions": [{"truth": "cat", "predicted": SCRIPT_CLASS, "count": 2}],
        "best_images": [{"image_id": IMAGES[0], "score": 0.9, "objects": 2}],
        "worst_images": [{"image_id": name, "score": 0.1, "objects": 2} for name in IMAGES[1:]],
    }


def find_image(folder: Path, image_id: str) -> Path:
    """Return the file of an image, which is created, except for the image "two"."""
    path = folder / f"{IMAGES.index(image_id)}.png"
    if image_id != "two":
        PIL.Image.new("RGB", (160, 80), "teal").save(path)
    return path
