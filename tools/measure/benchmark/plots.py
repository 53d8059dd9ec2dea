"""Charts of benchmarks, drawn with matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

DOTS_PER_INCH = 150


def draw_photos(photos: Sequence[dict[str, Any]]) -> Figure:
    """Median seconds on each photo: of the detector, warm and cold, and of the baselines, as bars on a log scale.

    `photos` are what `tools.benchmark photos` reports.
    """
    figure = Figure(figsize=(8, 0.8 + 2.2 * len(photos)), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, photo in zip(figure.subplots(len(photos), 1, squeeze=False)[:, 0], photos, strict=True):
        runs = {"detector, warm": photo["warm"], "detector, cold": photo["cold"]} | photo["baselines"]
        medians = [statistics.median(seconds) for seconds in runs.values()]
        colours = ["tab:blue", "tab:cyan", *["tab:gray"] * len(photo["baselines"])]
        bars = axes.barh(range(len(runs)), medians, color=colours)
        axes.bar_label(bars, [f"{one:.2f} s, {one / medians[0]:.1f}x" for one in medians], padding=3)
        axes.set_yticks(range(len(runs)), list(runs))
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(min(medians) / 3, max(medians) * 8)  # room for the longest label
        height, width = photo["size"]
        axes.set(title=f"{photo['path']}, {width}x{height} px, {photo['regions']} regions", xlabel="seconds")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_growth(growth: Mapping[str, list[dict[str, Any]]]) -> Figure:
    """Median seconds of each stage against what grows, a panel each, both axes logarithmic.

    `growth` is what `tools.benchmark growth` reports.
    """
    figure = Figure(figsize=(4 * len(growth), 3.6), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(1, len(growth), squeeze=False, sharey=True)[0]
    for axes, (factor, rows) in zip(panels, growth.items(), strict=True):
        for stage in rows[0]["seconds"]:
            medians = [statistics.median(row["seconds"][stage]) for row in rows]
            axes.plot([row["value"] for row in rows], medians, marker="o", label=stage)
        axes.set(xscale="log", yscale="log", xlabel=factor)
        axes.set_xticks([row["value"] for row in rows], [row["label"] for row in rows])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_ylabel("seconds")
    return figure
