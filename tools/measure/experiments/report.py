"""The table of `detect-experiments`: as printed lines, as CSV, and as a dictionary for JSON."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from detection.evaluation import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, SEED
from detection.evaluation.uncertainty.comparison import compare
from detection.runtime.atomic_write import atomic_path
from detection.structures.arrays import FloatArray
from tools.measure.experiments.timing import Timing
from tools.report.json_values import json_interval, json_number
from tools.report.text_table import format_table

COLUMNS = (
    *("variant", "proposals", "coverage", "mAP", "mAP_low", "mAP_high", "difference", "difference_low"),
    *("difference_high", "seconds", "proposing_seconds", "scoring_seconds"),
)
"""The columns of the CSV file, which are the keys of `Row.figures`."""

Bounds = list[float | None]


@dataclass(frozen=True, eq=False)
class Row:
    """A variant with its score, the report of `detect-evaluate run`, and its timing.

    `difference` is its mean average precision minus that of the row above, and `difference_interval` the interval of
    the paired bootstrap; in the first row they are unknown.
    """

    name: str
    metrics: DetectionMetrics
    report: dict[str, Any]
    timing: Timing
    difference: float | None = None
    difference_interval: Bounds | tuple[None, None] = (None, None)

    def compared(self, above: Sequence[Row], draws: FloatArray) -> Row:
        """Return this row with the difference to the row `above`, if there is one, on the same draws of images."""
        if not above:
            return self
        comparison = compare(above[0].metrics, self.metrics, draws)
        interval = json_interval(comparison.interval)
        return replace(self, difference=json_number(comparison.difference), difference_interval=interval)

    @property
    def figures(self) -> dict[str, Any]:
        """All numbers of the row, None where one is unknown; seconds are medians over the timed images."""
        low, high = self.report["mAP_interval"]
        difference_low, difference_high = self.difference_interval
        return {
            "variant": self.name,
            "proposals": self.report["proposals_per_image"],
            "coverage": self.report["coverage"],
            "mAP": self.report["mAP"],
            "mAP_low": low,
            "mAP_high": high,
            "difference": self.difference,
            "difference_low": difference_low,
            "difference_high": difference_high,
            "seconds": self.timing.seconds,
            "proposing_seconds": median(self.timing.proposing),
            "scoring_seconds": median(self.timing.scoring),
        }


@dataclass(frozen=True, eq=False)
class ExperimentTable:
    """The rows, at least one and all on the same images, and by name why other variants were `left_out`."""

    rows: Sequence[Row]
    left_out: dict[str, str]
    split: str
    resamples: int


def format_experiments(table: ExperimentTable) -> str:
    """Return what the command prints."""
    report, timing = table.rows[0].report, table.rows[0].timing
    cells = [["", "proposals", "coverage", "mAP", "", "to the row above", "", "seconds"]]
    for row in (row.figures for row in table.rows):
        score = [_figure(row["mAP"], ".4f"), _interval(row["mAP_low"], row["mAP_high"], ".4f")]
        gain = [_figure(row["difference"], "+.4f"), _interval(row["difference_low"], row["difference_high"], "+.4f")]
        proposals = [f"{row['proposals']:.1f}", _figure(row["coverage"], ".1%")]
        cells.append([row["variant"], *proposals, *score, *gain, f"{row['seconds']:.3f}"])
    machines = sorted({row.timing.machine for row in table.rows})
    notes = [
        f"proposals, seconds: of an image; coverage: recall of the proposals at IoU 0.5; mAP by rule {report['rule']}",
        f"[...]: {CONFIDENCE:.0%} bootstrap intervals over images, {table.resamples} resamples; differences are paired",
        f"seconds: proposing and scoring an image that has been read, one by one, medians of "
        f"{len(timing.proposing)} images; {' | '.join(machines)}",
    ]
    if table.left_out:
        notes += ["", "left out:", *(f"  {name}: {reason}" for name, reason in table.left_out.items())]
    head = f"{report['images']} images of split '{table.split}', {report['objects']} objects"
    return "\n".join([head, "", format_table(cells), "", *notes])


def as_json(table: ExperimentTable) -> dict[str, Any]:
    """Return the table, and how it was made, as a dictionary for JSON."""
    report = table.rows[0].report
    return {
        "split": table.split,
        **{name: report[name] for name in ("rule", "images", "objects")},
        "timed_images": len(table.rows[0].timing.proposing),
        "bootstrap": {"confidence": CONFIDENCE, "resamples": table.resamples, "seed": SEED},
        "rows": [
            row.figures | {"source": row.report["source"]["results"], "machine": row.timing.machine}
            for row in table.rows
        ],
        "left_out": table.left_out,
    }


def write_csv(table: ExperimentTable, path: Path) -> None:
    """Write the table as CSV, one line for each row; cells whose value is unknown are empty."""
    figures = [row.figures for row in table.rows]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(figures)


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
