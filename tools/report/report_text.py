"""The text of a report that is printed: the score, and tables by size, error and class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.report.text_table import format_interval, format_number, format_table, shorten

NAMED_CLASSES = 5
"""The number of best classes that are printed, and of worst classes."""

NAMED_CONFUSIONS = 5
LONGEST_NAME = 40


def format_report(report: dict[str, Any]) -> str:
    """Return the lines that are printed of a report, and its tables: by size, error and class, and confusions."""
    interval = ""
    if None not in report.get("mAP_interval", [None]):
        confidence = report["bootstrap"]["confidence"]
        interval = f" {format_interval(report['mAP_interval'])} ({confidence:.0%} bootstrap interval)"
    lines = [
        f"{report['images']} images, {report['objects']} objects, {report['detections']} detections",
        f"mAP ({report['rule']}): {format_number(report['mAP'])}{interval}, recall {format_number(report['recall'])}",
    ]
    if "details" in report:
        lines += [f"  {name:9} {format_number(value)}" for name, value in report["details"].items()]
    best = report["best_f1"]
    if best["f1"] is not None:
        f1, precision, recall = (format_number(best[name]) for name in ("f1", "precision", "recall"))
        where = f"{f1} at a score of {best['score_threshold']:.4g} or more"
        lines.append(f"best F1{_at_half(report)}: {where}, precision {precision}, recall {recall}")
    rows = [_size_rows(report), _error_rows(report), *_class_rows(report), _confusion_rows(report)]
    tables = [format_table(table) for table in rows if len(table) > 1]
    return "\n\n".join(["\n".join(lines), *tables])


def _at_half(report: dict[str, Any]) -> str:
    """Return what to add to figures that are at one IoU although COCO's rule averages over several."""
    return " at IoU 0.5" if report["rule"] == "coco" else ""


def _size_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["size", "objects", "mAP"]]
    return rows + [
        [name, str(size["objects"]), format_number(size["mAP"], "-")] for name, size in report["AP_by_size"].items()
    ]


def _error_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [[f"error{_at_half(report)}", "count", "costs mAP"]]
    return rows + [
        [name, str(error["count"]), format_number(error["mAP_cost"], "-")] for name, error in report["errors"].items()
    ]


def _class_rows(report: dict[str, Any]) -> list[list[list[str]]]:
    """Return a table of the best classes and one of the worst, or one table of all classes if there are few."""
    known = {name: value for name, value in report["AP"].items() if value is not None}
    ranked = sorted(known, key=lambda name: -known[name])
    if len(ranked) <= 2 * NAMED_CLASSES:
        return [_rows_of_classes("class", ranked, report)]
    best, worst = ranked[:NAMED_CLASSES], ranked[: -NAMED_CLASSES - 1 : -1]
    return [_rows_of_classes("best class", best, report), _rows_of_classes("worst class", worst, report)]


def _rows_of_classes(title: str, names: Sequence[str], report: dict[str, Any]) -> list[list[str]]:
    intervals = report.get("AP_interval")
    rows = [[title, "objects", "AP", *(["interval"] if intervals else [])]]
    for name in names:
        object_count, precision = str(report["objects_by_class"][name]), format_number(report["AP"][name], "-")
        interval = [format_interval(intervals[name])] if intervals else []
        rows.append([shorten(name, LONGEST_NAME), object_count, precision, *interval])
    return rows


def _confusion_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["most often confused", "count"]]
    return rows + [
        [" taken for ".join(shorten(pair[key], LONGEST_NAME) for key in ("truth", "predicted")), str(pair["count"])]
        for pair in report["confusions"][:NAMED_CONFUSIONS]
    ]
