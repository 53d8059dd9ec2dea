"""The tables of `detect-coverage`."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.runtime.atomic_write import atomic_path
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from proposals.coverage import Coverage, size_groups
from tools.report.text_table import format_table

MAIN_GROUP = "above 32x32"
"""The objects that the main tables are about: selective search as published finds nothing much smaller."""

COLUMNS = ("source", "objects", "object_count", "first", "proposals_per_image", "recall", "average_recall")
"""Of the CSV file; `first` is a number of proposals, or "all"."""


@dataclass(frozen=True, eq=False)
class CoverageReport:
    """What several sources find in the same images.

    `objects` float32 [M, 4] and `labels` int64 [M] are those of all images, in the order of the overlaps.
    """

    image_count: int
    objects: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]
    coverages: dict[str, Coverage]

    @property
    def firsts(self) -> list[str]:
        """Numbers of proposals that are measured at, "all" last."""
        return [*(str(count) for count in next(iter(self.coverages.values())).counts), "all"]

    def size_groups(self) -> dict[str, BoolArray]:
        """Name -> which objects [M]."""
        return size_groups(self.objects)

    def class_groups(self) -> dict[str, BoolArray]:
        """Name -> which objects [M], of the classes that there are."""
        return {self.class_names[label]: self.labels == label for label in np.unique(self.labels)}


def format_report(report: CoverageReport, *, by_class: bool = False) -> str:
    """What the tool prints: the paper's table, the same against the number of proposals, and by size of the objects."""
    sizes = report.size_groups()
    main = sizes[MAIN_GROUP]
    about = f"objects {MAIN_GROUP} px"
    found = {name: coverage.recall(main) for name, coverage in report.coverages.items()}
    averages = {name: coverage.average_recall(main) for name, coverage in report.coverages.items()}
    tables = [
        f"{report.image_count} images, {len(report.objects)} objects, {main.sum()} of them {MAIN_GROUP} px",
        format_table(_paper_rows(report, main)),
        f"Coverage (recall at IoU 0.5) of the first N proposals, {about}",
        format_table([["", *report.firsts], *([name, *_percent(shares)] for name, shares in found.items())]),
        f"Average recall (IoU 0.50 to 0.95) of the first N proposals, {about}",
        format_table([["", *report.firsts], *([name, *_percent(shares)] for name, shares in averages.items())]),
        "Coverage of all proposals by size of the objects",
        format_table(_group_rows(report, sizes)),
    ]
    if by_class:
        columns = zip(*_group_rows(report, report.class_groups()), strict=True)  # a row a class, a column a source
        tables += ["Coverage of all proposals by class", format_table([list(column) for column in columns])]
    return "\n\n".join(tables)


def _paper_rows(report: CoverageReport, main: BoolArray) -> list[list[str]]:
    """Number of proposals, also as a share of the first row's, and what they find."""
    rows = [["", "proposals", "share", "coverage", "average recall"]]
    counts = [coverage.proposals_per_image()[-1] for coverage in report.coverages.values()]
    for count, (name, coverage) in zip(counts, report.coverages.items(), strict=True):
        share = count / counts[0] if counts[0] else float("nan")
        figures = [share, coverage.recall(main)[-1], coverage.average_recall(main)[-1]]
        rows.append([name, f"{count:.1f}", *_percent(figures)])
    return rows


def _group_rows(report: CoverageReport, groups: dict[str, BoolArray]) -> list[list[str]]:
    """A column a group: its number of objects, then what each source finds of them."""
    rows = [["", *groups], ["objects", *(str(chosen.sum()) for chosen in groups.values())]]
    for name, coverage in report.coverages.items():
        rows.append([name, *_percent([coverage.recall(chosen)[-1] for chosen in groups.values()])])
    return rows


def _percent(shares: Iterable[float]) -> list[str]:
    return ["-" if math.isnan(share) else f"{share:.1%}" for share in shares]


def write_csv(report: CoverageReport, path: Path) -> None:
    """Write all figures: a line a source, group of objects and number of proposals."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_csv_rows(report))


def _csv_rows(report: CoverageReport) -> Iterator[tuple[object, ...]]:
    groups = report.size_groups() | {f"class {name}": chosen for name, chosen in report.class_groups().items()}
    for source, coverage in report.coverages.items():
        counts = coverage.proposals_per_image()
        for group, chosen in groups.items():
            figures = zip(counts, coverage.recall(chosen), coverage.average_recall(chosen), strict=True)
            for first, (count, recall, average) in zip(report.firsts, figures, strict=True):
                yield source, group, int(chosen.sum()), first, f"{count:.1f}", f"{recall:.6f}", f"{average:.6f}"
