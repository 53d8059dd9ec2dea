"""The table of `tools.experiments`: printed, as CSV, as JSON."""

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
from detection.structures.arrays import FloatArray
from tools.measure.experiments.timing import Timing
from tools.report.analysis import number
from tools.report.score_report import bounds
from tools.report.text_table import format_table

Bounds = list[float | None]


@dataclass(frozen=True, eq=False)
class Row:
    """A variant: its score, the report of `tools.evaluate run` on it, its timing.

    `difference` is that of its mean average precision to the row above, with the interval of the paired bootstrap; None
    in the first row.
    """

    name: str
    metrics: DetectionMetrics
    report: dict[str, Any]
    timing: Timing
    difference: float | None = None
    difference_interval: Bounds | None = None

    def compared(self, above: Sequence[Row], draws: FloatArray) -> Row:
        """This row with the difference to the one above, if there is one, on the same draws of images."""
        if not above:
            return self
        comparison = compare(above[0].metrics, self.metrics, draws)
        interval = bounds(comparison.interval)
        return replace(self, difference=number(comparison.difference), difference_interval=interval)

    def figures(self) -> dict[str, Any]:
        """All of the row as numbers, None where one is not known; seconds are medians over the timed images."""
        unknown: Bounds = [None, None]
        low, high = self.report["mAP_interval"]
        difference_low, difference_high = self.difference_interval or unknown
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
    """Rows on the same images, at least one, and why others were `left_out`, by their name."""

    rows: Sequence[Row]
    left_out: dict[str, str]
    split: str
    resamples: int

    @property
    def figures(self) -> list[dict[str, Any]]:
        """See `Row.figures`."""
        return [row.figures() for row in self.rows]


def format_experiments(table: ExperimentTable) -> str:
    """What the tool prints."""
    first = table.rows[0]
    report = first.report
    cells = [["", "proposals", "coverage", "mAP", "", "to the row above", "", "seconds"]]
    for one in table.figures:
        score = [_figure(one["mAP"], ".4f"), _interval(one["mAP_low"], one["mAP_high"], ".4f")]
        gain = [_figure(one["difference"], "+.4f"), _interval(one["difference_low"], one["difference_high"], "+.4f")]
        proposals = [f"{one['proposals']:.1f}", _figure(one["coverage"], ".1%")]
        cells.append([one["variant"], *proposals, *score, *gain, f"{one['seconds']:.3f}"])
    machines = sorted({row.timing.machine for row in table.rows})
    notes = [
        f"proposals, seconds: of an image; coverage: recall of the proposals at IoU 0.5; mAP by rule {report['rule']}",
        f"[...]: {CONFIDENCE:.0%} bootstrap intervals over images, {table.resamples} resamples; differences are paired",
        f"seconds: proposing and scoring an image that has been read, one by one, medians of "
        f"{len(first.timing.proposing)} images; {' | '.join(machines)}",
    ]
    if table.left_out:
        notes += ["", "left out:", *(f"  {name}: {reason}" for name, reason in table.left_out.items())]
    head = f"{report['images']} images of split '{table.split}', {report['objects']} objects"
    return "\n".join([head, "", format_table(cells), "", *notes])


def as_json(table: ExperimentTable) -> dict[str, Any]:
    """The table, and how it was made."""
    report = table.rows[0].report
    sources = [{"source": row.report["source"]["results"], "machine": row.timing.machine} for row in table.rows]
    return {
        "split": table.split,
        "rule": report["rule"],
        "images": report["images"],
        "objects": report["objects"],
        "timed_images": len(table.rows[0].timing.proposing),
        "bootstrap": {"confidence": CONFIDENCE, "resamples": table.resamples, "seed": SEED},
        "rows": [figures | source for figures, source in zip(table.figures, sources, strict=True)],
        "left_out": table.left_out,
    }


def write_csv(table: ExperimentTable, path: Path) -> None:
    """Write the table, a line a row; cells that are not known are empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table.figures[0]))
        writer.writeheader()
        writer.writerows(table.figures)


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
