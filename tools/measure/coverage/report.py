"""The report of `detect-coverage`: tables to print, and a CSV file with all figures."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.runtime.atomic_write import atomic_path
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from proposals.coverage import Coverage, size_groups
from tools.report.text_table import format_table

MAIN_GROUP = "above 32x32"
"""The objects that the main tables are about: selective search, as published, finds hardly any smaller ones."""

COLUMNS = ("source", "objects", "object_count", "first", "proposals_per_image", "recall", "average_recall")
"""The columns of the CSV file; `first` is a number of proposals, or "all"."""


@dataclass(frozen=True, eq=False)
class CoverageReport:
    """The coverage of several sources in the same images.

    `objects` float32 [M, 4] and `labels` int64 [M] are those of all images, in the order of the overlaps.
    """

    image_count: int
    objects: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]
    coverages: dict[str, Coverage]

    @property
    def firsts(self) -> list[str]:
        """The numbers of proposals at which the coverage is measured, "all" last."""
        return [*(str(count) for count in next(iter(self.coverages.values())).counts), "all"]

    def size_groups(self) -> dict[str, BoolArray]:
        """Return the objects of each size, as name -> mask [M]."""
        return size_groups(self.objects)

    def class_groups(self) -> dict[str, BoolArray]:
        """Return the objects of each class that occurs, as name -> mask [M]."""
        return {self.class_names[label]: self.labels == label for label in np.unique(self.labels)}


def format_report(report: CoverageReport) -> str:
    """Return the printed tables: the paper's, two by the number of proposals, and one by the size of the objects."""
    sizes = report.size_groups()
    main = sizes[MAIN_GROUP]
    recalls = {name: coverage.recall(main) for name, coverage in report.coverages.items()}
    averages = {name: coverage.average_recall(main) for name, coverage in report.coverages.items()}
    counts = {name: coverage.proposals_per_image()[-1] for name, coverage in report.coverages.items()}
    first_count = next(iter(counts.values())) or math.nan
    paper_rows = [["", "proposals", "share", "coverage", "average recall"]]
    for name, count in counts.items():
        shares = _percent([count / first_count, recalls[name][-1], averages[name][-1]])
        paper_rows.append([name, f"{count:.1f}", *shares])
    tables = [
        f"{report.image_count} images, {len(report.objects)} objects, {main.sum()} of them {MAIN_GROUP} px",
        format_table(paper_rows),
        f"Coverage (recall at IoU 0.5) of the first N proposals, objects {MAIN_GROUP} px",
        format_table([["", *report.firsts], *_share_rows(recalls)]),
        f"Average recall (IoU 0.50 to 0.95) of the first N proposals, objects {MAIN_GROUP} px",
        format_table([["", *report.firsts], *_share_rows(averages)]),
        "Coverage of all proposals by size of the objects",
        format_table(_group_rows(report, sizes)),
    ]
    return "\n\n".join(tables)


def _group_rows(report: CoverageReport, groups: dict[str, BoolArray]) -> list[list[str]]:
    """Return a table with a column for each group: its number of objects, and the coverage of each source."""
    recalls = {
        name: [coverage.recall(members)[-1] for members in groups.values()]
        for name, coverage in report.coverages.items()
    }
    return [["", *groups], ["objects", *(str(members.sum()) for members in groups.values())], *_share_rows(recalls)]


def _share_rows(shares: Mapping[str, Iterable[float]]) -> list[list[str]]:
    """Return a row of percentages for each source."""
    return [[name, *_percent(values)] for name, values in shares.items()]


def _percent(shares: Iterable[float]) -> list[str]:
    return ["-" if math.isnan(share) else f"{share:.1%}" for share in shares]


def write_csv(report: CoverageReport, path: Path) -> None:
    """Write all figures to a CSV file, with a row for each source, group of objects and number of proposals."""
    groups = report.size_groups() | {f"class {name}": members for name, members in report.class_groups().items()}
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for source, coverage in report.coverages.items():
            counts = coverage.proposals_per_image()
            for group, members in groups.items():
                figures = zip(counts, coverage.recall(members), coverage.average_recall(members), strict=True)
                for first, (count, recall, average) in zip(report.firsts, figures, strict=True):
                    row = (source, group, int(members.sum()), first, f"{count:.1f}", f"{recall:.6f}", f"{average:.6f}")
                    writer.writerow(row)
