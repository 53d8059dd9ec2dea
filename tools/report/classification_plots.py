"""Plots of the errors, predictions and nearest neighbours of a classifier, drawn with matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detection.structures.arrays import Image
from tools.report.text_table import shorten

RIGHT, WRONG, QUERY = "tab:green", "tab:gray", "tab:blue"


class Prediction(NamedTuple):
    """An image with its most likely classes, best first, their probabilities (0-1), and its true class if known."""

    title: str
    image: Image
    names: Sequence[str]
    probabilities: Sequence[float]
    truth: str | None


class NeighbourRow(NamedTuple):
    """A query image and its nearest neighbours in a data set, nearest first, with their classes and distances."""

    title: str
    query: Image
    images: Sequence[Image]
    names: Sequence[str]
    distances: Sequence[float]


def draw_errors(errors: list[dict[str, Any]]) -> Figure:
    """Draw the top-1 and top-5 error over the number of crops, with one line for each number of models.

    Each of the `errors` has the keys `models`, `crops`, `top1_error` and `top5_error` (0-1).
    """
    counts = sorted({row["crops"] for row in errors})
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, top in zip(figure.subplots(1, 2), (1, 5), strict=True):
        for models in sorted({row["models"] for row in errors}):
            rows = {row["crops"]: 100 * row[f"top{top}_error"] for row in errors if row["models"] == models}
            name = f"{models} model{'s' if models > 1 else ''}"
            axes.plot(range(len(counts)), [rows[count] for count in counts], marker="o", label=name)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlim(-0.5, len(counts) - 0.5)
        axes.set(title=f"top-{top}", xlabel="crops of an image", ylabel="error, %")
        axes.grid(axis="y", alpha=0.3)
        axes.legend()
    return figure


def draw_predictions(predictions: Sequence[Prediction]) -> Figure:
    """Draw one row for each image: the image, and a bar for each likely class; the true class, if known, is green."""
    figure = Figure(figsize=(8, 2.2 * len(predictions)), layout="constrained")
    grid = figure.subplots(len(predictions), 2, squeeze=False, width_ratios=[1, 3])
    longest = max(max(prediction.probabilities) for prediction in predictions)
    for (left, right), prediction in zip(grid, predictions, strict=True):
        _show(left, prediction.image, [prediction.title, *([f"truth: {prediction.truth}"] if prediction.truth else [])])
        colours = [RIGHT if name == prediction.truth else WRONG for name in prediction.names]
        places = range(len(prediction.names))
        bars = right.barh(places, prediction.probabilities, color=colours)
        right.bar_label(bars, [f"{share:.1%}" for share in prediction.probabilities], padding=3)
        right.set_yticks(places, [shorten(name, 40) for name in prediction.names], parse_math=False)
        right.set_xlim(0, 1.15 * longest)  # room for the label of the longest bar
        right.set_xticks([])
        right.invert_yaxis()
        right.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def draw_neighbours(rows: Sequence[NeighbourRow]) -> Figure:
    """Draw one row for each query: the query, then its neighbours with their classes and distances."""
    most = max(len(row.images) for row in rows)
    figure = Figure(figsize=(1.6 * (most + 1), 2.1 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), most + 1, squeeze=False)
    for (first, *places), row in zip(grid, rows, strict=True):
        _show(first, row.query, [row.title])
        first.spines[:].set(color=QUERY, linewidth=3)
        for place, image, name, distance in zip(places, row.images, row.names, row.distances, strict=True):
            _show(place, image, [name, f"{distance:.2f}"])
    grid[0][0].set_title("query", color=QUERY)
    grid[0][1].set_title("nearest, and how far", loc="left", fontsize="medium")
    return figure


def _show(axes: Axes, image: Image, below: Sequence[str]) -> None:
    """Draw an image with texts below it, wrapped so that they are not wider than the image."""
    lines = [line for text in below for line in textwrap.wrap(shorten(text, 60), 20)]
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("\n".join(lines), fontsize=8, parse_math=False)
