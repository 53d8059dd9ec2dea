"""The curves of a training run, from the CSV files that it writes."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from detection.errors import InputError

LOSS, ACCURACY = "train_loss", "val_top1"

Curve = list[tuple[int, float]]
"""Values by the number of steps done, in their order."""


class RunLog(NamedTuple):
    """What a run has logged: `losses` of its training batches, `accuracies` (top-1, 0-1) in validation."""

    name: str
    losses: Curve
    accuracies: Curve


def read_run(folder: str) -> RunLog:
    """The log of the run whose `--output` is `folder`, of all parts of it if it was interrupted and resumed.

    A part that was resumed takes the place of what came after its beginning.

    Raises:
        InputError: naming the folder or file, if there is no log, or none of training, or it cannot be read.
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
        if newer:  # without any it is the log of a measurement
            start = newer[0][0]
            losses = [*(value for value in losses if value[0] < start), *newer]
            accuracies = [*(value for value in accuracies if value[0] < start), *_curve(rows, ACCURACY, path)]
    if not losses:
        raise InputError(f"{folder}: expected losses of a training run in {files[-1]}, found none yet")
    return RunLog(folder, losses, accuracies)


def smooth(values: Sequence[float], share: float) -> list[float]:
    """Each value averaged with those before and after it, of which one n places away weighs `share`^n (0 to below 1).

    Looking both ways it does not lag behind, as the usual running average does.
    """
    series = np.stack([values, np.ones(len(values))])  # the values, and the sum of the weights at each place
    sums = sum(lfilter([1], [1, -share], series[:, ::step])[:, ::step] for step in (1, -1)) - series
    smoothed: list[float] = (sums[0] / sums[1]).tolist()
    return smoothed


def _version(path: Path) -> int:
    """The number in .../version_3/metrics.csv, by which they follow each other; -1 for another name."""
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdecimal() else -1


def _read_rows(path: Path) -> list[dict[str, str | None]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: expected the CSV log of a training run, cannot read it: {error}") from None


def _curve(rows: Sequence[dict[str, str | None]], column: str, path: Path) -> Curve:
    """The values of a column by the steps done when they were logged, without those that are not finite."""
    curve = []
    for number, row in enumerate(rows, start=2):
        text = row.get(column)
        if not text:
            continue
        try:
            step, value = int(row.get("step") or ""), float(text)
        except ValueError:
            found = f"step {row.get('step')!r} and {column} {text!r}"
            raise InputError(f"{path}: expected numbers in row {number}, got {found}") from None
        if math.isfinite(value):
            curve.append((step + 1, value))  # the log counts steps from 0
    return curve
