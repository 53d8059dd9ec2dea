"""A score with its intervals and the analysis of it: as a dictionary for JSON, and as the lines that are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.evaluation import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, SEED, Interval, bootstrap_intervals, draw_images
from detection.runtime.whole_file import write_whole
from tools.command.output_file import prepare_output
from tools.report.analysis import analyse, number
from tools.report.tables import at_half, format_interval, format_tables


def build_report(metrics: DetectionMetrics, *, resamples: int, warnings: Sequence[str]) -> dict[str, Any]:
    """What is known of a result; numbers that could not be measured are None.

    `analyse` says what its sections are.

    Args:
        metrics: the score.
        resamples: of the bootstrap; with 0 there are no intervals.
        warnings: what is doubtful about the input.
    """
    report: dict[str, Any] = {
        "rule": metrics.rule,
        "images": len(metrics.objects.index.image_ids),
        "objects": int(metrics.ground_truth_counts.sum()),
        "detections": len(metrics.detections),
        "mAP": number(metrics.mean_average_precision),
        "recall": number(metrics.total_recall),
        "AP": by_class(metrics, metrics.average_precision.tolist()),
        "recall_by_class": by_class(metrics, metrics.recall.tolist()),
        "objects_by_class": dict(zip(metrics.class_names, metrics.ground_truth_counts.tolist(), strict=True)),
    }
    if metrics.details:
        report["details"] = {name: number(value) for name, value in metrics.details.items()}
    if resamples:
        draws = draw_images(len(metrics.objects.index.image_ids), resamples=resamples)
        intervals = bootstrap_intervals(metrics, draws)
        report["mAP_interval"] = bounds(intervals.mean_average_precision)
        report["AP_interval"] = dict(zip(metrics.class_names, map(bounds, intervals.average_precision), strict=True))
        report["bootstrap"] = {"confidence": CONFIDENCE, "resamples": resamples, "seed": SEED}
    return report | analyse(metrics) | {"warnings": list(warnings)}


def format_report(report: dict[str, Any]) -> str:
    """What is printed of a report."""
    interval = ""
    if None not in report.get("mAP_interval", [None]):
        confidence = report["bootstrap"]["confidence"]
        interval = f" {format_interval(report['mAP_interval'])} ({confidence:.0%} bootstrap interval)"
    lines = [
        f"{report['images']} images, {report['objects']} objects, {report['detections']} detections",
        f"mAP ({report['rule']}): {text(report['mAP'])}{interval}, recall {text(report['recall'])}",
    ]
    if "details" in report:
        lines += [f"  {name:9} {text(value)}" for name, value in report["details"].items()]
    best = report["best_f1"]
    if best["f1"] is not None:
        lines.append(
            f"best F1{at_half(report)}: {text(best['f1'])} at a score of {best['score_threshold']:.4g} or more, "
            f"precision {text(best['precision'])}, recall {text(best['recall'])}"
        )
    return "\n\n".join(["\n".join(lines), *format_tables(report)])


def text(value: float | None) -> str:
    """A number to print."""
    return "unknown" if value is None else f"{value:.4f}"


def publish(
    tool: str, json_name: str | None, make: Callable[[], dict[str, Any]], form: Callable[[dict[str, Any]], str]
) -> int:
    """Make a report, print it, and write it where a file is named; the exit status, 1 after an `InputError`."""
    try:
        json_file = prepare_output(json_name) if json_name is not None else None
        report = make()
        print(form(report))
        write_json(json_file, report)
    except InputError as error:
        print(f"{tool}: {error.line}", file=sys.stderr)
        return 1
    return 0


def write_json(path: Path | None, report: dict[str, Any]) -> None:
    """Write a report, if there is a file for it.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    if path is not None:
        write_whole(path, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode("ascii"))


def by_class(metrics: DetectionMetrics, values: Sequence[float]) -> dict[str, float | None]:
    """Values [C] under the names of the classes."""
    return dict(zip(metrics.class_names, map(number, values), strict=True))


def bounds(interval: Interval) -> list[float | None]:
    """An interval for JSON."""
    return [number(interval.low), number(interval.high)]
