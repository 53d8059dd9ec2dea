"""The report of a score: a dictionary for JSON, from which `report_text` makes text and `page` makes a web page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.evaluation import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, SEED, bootstrap_intervals, draw_images
from tools.report.analysis import analyse
from tools.report.json_values import json_interval, json_number


def build_report(metrics: DetectionMetrics, *, resamples: int, warnings: Sequence[str]) -> dict[str, Any]:
    """Return the score, its intervals and its analysis; `analyse` describes the sections of the analysis.

    Args:
        metrics: the score.
        resamples: number of resamples of the bootstrap; with 0 there are no intervals.
        warnings: lines about what is doubtful in the input.
    """

    def by_class(values: NDArray[np.float64]) -> dict[str, float | None]:
        return dict(zip(metrics.class_names, map(json_number, values.tolist()), strict=True))

    report: dict[str, Any] = {
        "rule": metrics.rule,
        "images": len(metrics.objects.index.image_ids),
        "objects": int(metrics.ground_truth_counts.sum()),
        "detections": len(metrics.detections),
        "mAP": json_number(metrics.mean_average_precision),
        "recall": json_number(metrics.total_recall),
        "AP": by_class(metrics.average_precision),
        "recall_by_class": by_class(metrics.recall),
        "objects_by_class": dict(zip(metrics.class_names, metrics.ground_truth_counts.tolist(), strict=True)),
    }
    if metrics.details:
        report["details"] = {name: json_number(value) for name, value in metrics.details.items()}
    if resamples:
        draws = draw_images(len(metrics.objects.index.image_ids), resamples=resamples)
        intervals = bootstrap_intervals(metrics, draws)
        report["mAP_interval"] = json_interval(intervals.mean_average_precision)
        report["AP_interval"] = dict(
            zip(metrics.class_names, map(json_interval, intervals.average_precision), strict=True)
        )
        report["bootstrap"] = {"confidence": CONFIDENCE, "resamples": resamples, "seed": SEED}
    return report | analyse(metrics) | {"warnings": list(warnings)}
