"""The progress of long work: a bar in a terminal, and otherwise a line every half minute, for logs."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm

SECONDS = 30.0
"""Time between two lines, and before the first: short work prints none."""

LINE = "{desc}: {n_fmt} of {total_fmt} ({unit}), {elapsed} so far, about {remaining} left{postfix}"


class _Lines:
    """A file that gets the states of a bar, which begin with a carriage return, as lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        if line := text.strip():
            self._file.write(f"{line}\n")

    def flush(self) -> None:
        self._file.flush()


def show_progress(*, disable: bool = False, **options: Any) -> tqdm[Any]:
    """Return a progress bar of tqdm with these options, or one that prints lines if standard error is no terminal."""
    if not sys.stderr.isatty():
        options |= {"file": _Lines(sys.stderr), "bar_format": LINE, "delay": SECONDS, "mininterval": SECONDS}
        # Otherwise tqdm guesses after how many updates the time is over, and prints the last line twice.
        options |= {"miniters": 1, "leave": False}
    return tqdm(disable=disable, **options)
