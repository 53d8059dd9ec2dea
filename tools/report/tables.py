"""The tables that are printed of a report: by size, by error, by class, and what is confused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.report.text_table import format_table

NAMED_CLASSES = 5
"""So many of the best classes are printed, and of the worst."""

NAMED_CONFUSIONS = 5
LONGEST_NAME = 40


def format_tables(report: dict[str, Any]) -> list[str]:
    """The tables that there is something to say in."""
    tables = [_size_table(report), _error_table(report), *_class_tables(report), _confusion_table(report)]
    return [format_table(rows) for rows in tables if len(rows) > 1]


def format_interval(bounds: Sequence[float | None]) -> str:
    """An interval, empty where it is not known."""
    return "" if None in bounds else "[" + ", ".join(f"{bound:.4f}" for bound in bounds) + "]"


def at_half(report: dict[str, Any]) -> str:
    """What has to be said of figures that COCO's rule does not average over its overlaps."""
    return " at IoU 0.5" if report["rule"] == "coco" else ""


def _size_table(report: dict[str, Any]) -> list[list[str]]:
    rows = [["size", "objects", "mAP"]]
    return rows + [[name, str(size["objects"]), _cell(size["mAP"])] for name, size in report["AP_by_size"].items()]


def _error_table(report: dict[str, Any]) -> list[list[str]]:
    rows = [[f"error{at_half(report)}", "count", "costs mAP"]]
    return rows + [[name, str(error["count"]), _cell(error["mAP_cost"])] for name, error in report["errors"].items()]


def _class_tables(report: dict[str, Any]) -> list[list[list[str]]]:
    """One of the best and one of the worst, as wide as each other; if there are few classes, one of all."""
    known = {name: value for name, value in report["AP"].items() if value is not None}
    ranked = sorted(known, key=lambda name: -known[name])
    if len(ranked) <= 2 * NAMED_CLASSES:
        return [_class_table("class", ranked, report)]
    best, worst = ranked[:NAMED_CLASSES], ranked[: -NAMED_CLASSES - 1 : -1]
    return [_class_table("best class", best, report), _class_table("worst class", worst, report)]


def _class_table(title: str, names: Sequence[str], report: dict[str, Any]) -> list[list[str]]:
    columns = [title, "objects", "AP"]
    intervals = report.get("AP_interval")
    rows = [[*columns, "interval"] if intervals else columns]
    for name in names:
        cells = [_shortened(name), str(report["objects_by_class"][name]), _cell(report["AP"][name])]
        rows.append([*cells, format_interval(intervals[name])] if intervals else cells)
    return rows


def _confusion_table(report: dict[str, Any]) -> list[list[str]]:
    rows = [["most often confused", "count"]]
    return rows + [
        [f"{_shortened(one['truth'])} taken for {_shortened(one['predicted'])}", str(one["count"])]
        for one in report["confusions"][:NAMED_CONFUSIONS]
    ]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
