"""The curves of a training run, which are read from its CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from detection.datasets.files.text_file import read_lines, whole_number
from detection.errors import InputError, short_repr

LOSS, ACCURACY = "train_loss", "val_top1"

SMOOTHING = 0.8
"""Weight of the next value in the average of a loss, by default."""

Curve = list[tuple[int, float]]
"""Pairs of the number of steps done and a value, in order."""


class RunLog(NamedTuple):
    """The log of a run: the `losses` of its training batches, and its `accuracies` (top-1, 0-1) in validation."""

    name: str
    losses: Curve
    accuracies: Curve


def read_run(folder: str) -> RunLog:
    """Return the log of the run whose `--output` is `folder`.

    If the run was interrupted and resumed, there is a log for each part. A later part replaces the steps of earlier
    parts that it repeats.

    Raises:
        InputError: naming the folder or file, if there is no log, if it has no losses, or if it cannot be read.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected the folder of a training run, got no such folder")
    files = sorted(Path(folder).glob("log/version_*/metrics.csv"), key=_version)
    if not files:
        raise InputError(f"{folder}: expected the log of a training run, log/version_0/metrics.csv, found none")
    losses: Curve = []
    accuracies: Curve = []
    for path in files:
        rows = _read_rows(path)
        newer = _curve(rows, LOSS, path)
        if newer:  # otherwise it is the log of a validation or test
            start = newer[0][0]
            losses = [*(value for value in losses if value[0] < start), *newer]
            accuracies = [*(value for value in accuracies if value[0] < start), *_curve(rows, ACCURACY, path)]
    if not losses:
        raise InputError(f"{folder}: expected losses of a training run in {files[-1]}, found none yet")
    return RunLog(folder, losses, accuracies)


def smooth(values: Sequence[float], share: float) -> list[float]:
    """Return the weighted average of the values around each value; a value n places away has the weight `share`^n.

    The average looks in both directions, so it does not lag behind as a running average does. `share` is 0 to below 1.
    """
    series = np.stack([values, np.ones(len(values))])  # the values, and the sum of the weights at each place
    sums = sum(lfilter([1], [1, -share], series[:, ::step])[:, ::step] for step in (1, -1)) - series
    smoothed: list[float] = (sums[0] / sums[1]).tolist()
    return smoothed


def _version(path: Path) -> int:
    """Return the 3 of the path .../version_3/metrics.csv, by which parts are ordered; -1 for another name."""
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdecimal() else -1


def _read_rows(path: Path) -> list[dict[str, str | None]]:
    try:
        return list(csv.DictReader(read_lines(path, expected="the CSV log of a training run")))
    except csv.Error as error:
        raise InputError(f"{path}: expected the CSV log of a training run, cannot read it: {error}") from None


def _curve(rows: Sequence[dict[str, str | None]], column: str, path: Path) -> Curve:
    """Return the finite values of a column, with the number of steps done when they were logged."""
    curve = []
    for number, row in enumerate(rows, start=2):
        text = row.get(column)
        if not text:
            continue
        try:
            step, value = whole_number(row.get("step") or ""), float(text)
        except ValueError:
            step = None
        if step is None:
            found = f"step {short_repr(row.get('step'))} and {column} {short_repr(text)}"
            raise InputError(f"{path}: expected numbers in row {number}, got {found}")
        if math.isfinite(value):
            curve.append((step + 1, value))  # the log counts steps from 0
    return curve
