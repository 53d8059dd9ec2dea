"""Values of reports in JSON, which has no nan: a figure that could not be measured is None (`null`)."""

from __future__ import annotations

import json
from math import isnan
from typing import Any

from detection.evaluation.uncertainty.bootstrap import Interval
from detection.runtime.atomic_write import write_atomically
from tools.command.output_file import OutputFile


def json_number(value: float) -> float | None:
    """Return a number, or None for nan."""
    return None if isnan(value) else float(value)


def json_interval(interval: Interval) -> list[float | None]:
    """Return the two ends of an interval."""
    return [json_number(interval.low), json_number(interval.high)]


def write_json(file: OutputFile | None, report: dict[str, Any]) -> None:
    """Write a report to a file, if one is given. Its first key is `made_by`, the command.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    if file is not None:
        content = json.dumps({"made_by": file.made_by} | report, indent=2, allow_nan=False)
        write_atomically(file.path, f"{content}\n".encode("ascii"))
