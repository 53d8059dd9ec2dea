"""Timing: the seconds that runs of a function take on a CPU or a GPU, and the rows of the tables that show them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

HEADER = f"  {'':12} {'median':>10} {'min':>10} {'max':>10}"
"""The names of the columns of `format_row`."""


_clocks = [time.perf_counter]


@contextmanager
def counting_processor_time() -> Iterator[None]:
    """Within this context, `now` counts the seconds of the processor in this process, in place of a clock's."""
    _clocks.append(time.process_time)
    try:
        yield
    finally:
        _clocks.pop()


def now(device: torch.device | None = None) -> float:
    """Return the time in seconds when the device has finished its work; by default, do not wait for a device."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return _clocks[-1]()


def time_run(function: Callable[[], Result], device: torch.device | None = None) -> tuple[float, Result]:
    """Return the seconds of one run of a function, until the device has finished, and the result of the function."""
    start = now(device)
    result = function()
    return now(device) - start, result


def time_runs(
    function: Callable[[], Any], repeat: int, device: torch.device | None = None, *, warm_up: int = 1
) -> list[float]:
    """Return the seconds of each of `repeat` runs of a function, after `warm_up` runs that are not measured."""
    return [time_run(function, device)[0] for _ in range(warm_up + repeat)][warm_up:]


def format_row(name: str, seconds: Sequence[float], *, milliseconds: bool = False) -> str:
    """Return a row of a table with the median, the minimum and the maximum of some times."""
    factor, unit = (1e3, "ms") if milliseconds else (1, "s")
    times = (statistics.median(seconds), min(seconds), max(seconds))
    return f"  {name:12} " + " ".join(f"{f'{factor * duration:.3f}{unit}':>10}" for duration in times)
