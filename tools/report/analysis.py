"""The analysis in a report, which shows where a detector fails: curves, errors, confusions and images, for JSON."""

from __future__ import annotations

from typing import Any

from detection.evaluation import DetectionMetrics
from detection.evaluation.analysis.curves import (
    Curve,
    OperatingPoint,
    best_f1_by_class,
    best_f1_overall,
    precision_recall_curve,
)
from detection.evaluation.analysis.error_types import confusions, error_costs, find_errors
from detection.evaluation.analysis.image_scores import ImageScores, best_images, score_images, worst_images
from detection.evaluation.analysis.size_scores import score_by_size
from detection.structures.arrays import IntArray
from tools.report.json_values import json_number

IMAGES = 12
"""The number of best images that are listed, and of worst images."""

CONFUSIONS = 20


def analyse(metrics: DetectionMetrics) -> dict[str, Any]:
    """Return the sections of the analysis by name; numbers that could not be measured are None.

        "curves": {class: {"recall": [...], "precision": [...], "score": [...]}}
        "best_f1": {"score_threshold": x, "f1": x, "precision": x, "recall": x}
        "best_f1_by_class": {class: the same}
        "AP_by_size": {"small" | "medium" | "large": {"mAP": x, "objects": n}}
        "errors": {"classification" | "localisation" | "both" | "duplicate" | "background" | "missed":
            {"count": n, "mAP_cost": x}}
        "confusions": [{"truth": class, "predicted": class, "count": n}, ...]
        "best_images", "worst_images": [{"image_id": id, "score": x, "objects": n}, ...]

    Curves have up to 100 points, the best score first, and no points for a class without objects. `best_f1` is the
    single threshold for all classes with the best F1 over all objects. At this threshold, the 20 most frequent
    confusions are counted, and the 12 best and worst images are found by their F1. `errors` counts errors of all
    detections; the cost of a type is what mAP would gain without it. With COCO's rule, everything except the sizes is
    at an IoU of 0.5.
    """
    best = best_f1_overall(metrics)
    errors = find_errors(metrics.objects, metrics.detections, metrics.matches)
    images = score_images(metrics, score_threshold=best.score_threshold)
    names = metrics.class_names
    curves = (precision_recall_curve(rankings[0]) for rankings in metrics.rankings)
    return {
        "curves": dict(zip(names, map(_curve, curves), strict=True)),
        "best_f1": _point(best),
        "best_f1_by_class": dict(zip(names, map(_point, best_f1_by_class(metrics)), strict=True)),
        "AP_by_size": {
            size: {"mAP": json_number(score), "objects": count}
            for size, (score, count) in score_by_size(metrics).items()
        },
        "errors": {
            name: {"count": count, "mAP_cost": json_number(cost)}
            for name, (count, cost) in error_costs(metrics, errors).items()
        },
        "confusions": [
            {"truth": names[label], "predicted": names[predicted], "count": count}
            for label, predicted, count in confusions(
                metrics, errors, score_threshold=best.score_threshold, limit=CONFUSIONS
            )
        ],
        "best_images": _images(metrics, images, best_images(images, IMAGES)),
        "worst_images": _images(metrics, images, worst_images(images, IMAGES)),
    }


def _curve(curve: Curve) -> dict[str, list[float]]:
    """Return the points of a curve, rounded to five digits, which are enough for a drawing."""
    columns = zip(("recall", "precision", "score"), curve, strict=True)
    return {name: [float(f"{value:.5g}") for value in column.tolist()] for name, column in columns}


def _point(point: OperatingPoint) -> dict[str, float | None]:
    return {name: json_number(value) for name, value in point._asdict().items()}


def _images(metrics: DetectionMetrics, images: ImageScores, rows: IntArray) -> list[dict[str, Any]]:
    columns = zip(rows.tolist(), images.f1[rows].tolist(), images.object_counts[rows].tolist(), strict=True)
    names = metrics.objects.index.image_ids
    return [{"image_id": names[row], "score": score, "objects": count} for row, score, count in columns]
