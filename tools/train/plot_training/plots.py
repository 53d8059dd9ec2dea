"""Plots of training runs, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from tools.train.plot_training.training_log import Curve, RunLog, smooth

DISTINCT = 10
"""Number of colours that are easy to tell apart; more runs than that get colours from a continuous scale."""


def draw_training(runs: Sequence[RunLog], *, smoothing: float) -> Figure:
    """Draw the loss in training and the top-1 accuracy in validation, with a colour for each run.

    The loss is drawn twice: as it is, in a pale colour, and smoothed.

    Args:
        runs: the logs of the runs.
        smoothing: see `smooth`.
    """
    figure = Figure(figsize=(10, 4.2 + 0.2 * len(runs)), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run, colour in zip(runs, _colours(len(runs)), strict=True):
        steps, losses = _columns(run.losses)
        left.plot(steps, losses, color=colour, alpha=0.25, linewidth=0.8)
        left.plot(steps, smooth(losses, smoothing), color=colour, label=run.name)
        right.plot(*_columns(run.accuracies), color=colour, marker="o", markersize=4)
    left.set(title="loss in training" + (f", smoothed by {smoothing:g}" if smoothing else ""), ylabel="loss")
    right.set(title="top-1 accuracy in validation", ylabel="accuracy")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    if not any(run.accuracies for run in runs):
        right.text(0.5, 0.5, "no validation yet", ha="center", va="center", transform=right.transAxes)
    for axes in (left, right):
        _finish(axes)
    right.set_xlim(left.get_xlim())
    legend = figure.legend(loc="outside lower center", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # matplotlib would take dollars in the name of a folder for a formula
    return figure


def _columns(curve: Curve) -> tuple[list[int], list[float]]:
    return [step for step, _ in curve], [value for _, value in curve]


def _colours(count: int) -> list[tuple[float, ...]]:
    if count <= DISTINCT:
        return [mpl.colormaps["tab10"](index) for index in range(count)]
    return [mpl.colormaps["turbo"](index / (count - 1)) for index in range(count)]


def _finish(axes: Axes) -> None:
    axes.set_xlabel("steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
