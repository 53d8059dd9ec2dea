"""Charts of the benchmarks, drawn with matplotlib, which is slow to import and optional."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from detection.runtime.atomic_write import atomic_path

DOTS_PER_INCH = 150


def draw_photos(photos: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the median seconds for each photo, as bars on a log scale, in a PNG file.

    The bars are the detector, warm and cold, and the baselines. `photos` are what `detect-benchmark photos` reports.
    """
    figure = Figure(figsize=(8, 0.8 + 2.2 * len(photos)), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, photo in zip(figure.subplots(len(photos), 1, squeeze=False)[:, 0], photos, strict=True):
        runs = {"detector, warm": photo["warm"], "detector, cold": photo["cold"]} | photo["baselines"]
        medians = [statistics.median(seconds) for seconds in runs.values()]
        bars = axes.barh(list(runs), medians, color=["tab:blue", "tab:cyan", *["tab:gray"] * len(photo["baselines"])])
        axes.bar_label(bars, [f"{median:.2f} s, {median / medians[0]:.1f}x" for median in medians], padding=3)
        axes.invert_yaxis()
        height, width = photo["size"]
        axes.set(title=f"{photo['path']}, {width}x{height} px, {photo['regions']} regions", xlabel="seconds")
        axes.set(xscale="log", xlim=(min(medians) / 3, max(medians) * 8))  # room for the longest label
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_growth(growth: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the median seconds of each stage against what grows, one chart each, with log scales, in a PNG file.

    `growth` is what `detect-benchmark growth` reports.
    """
    figure = Figure(figsize=(4 * len(growth), 3.6), dpi=DOTS_PER_INCH, layout="constrained")
    charts = figure.subplots(1, len(growth), squeeze=False, sharey=True)[0]
    for axes, (factor, rows) in zip(charts, growth.items(), strict=True):
        values = [row["value"] for row in rows]
        for stage in rows[0]["seconds"]:
            axes.plot(values, [statistics.median(row["seconds"][stage]) for row in rows], marker="o", label=stage)
        axes.set(xscale="log", yscale="log", xlabel=factor)
        axes.set_xticks(values, [row["label"] for row in rows])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
        axes.legend()
    charts[0].set_ylabel("seconds")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
