"""Rows of the text files that the development kits of PASCAL VOC and ILSVRC read.

A row ends with a score and the corners `xmin ymin xmax ymax`. The corners are whole pixels that are counted from 1,
and the pixels xmax and ymax still belong to the box.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.datasets.files.text_file import read_lines
from detection.errors import InputError, short_repr
from detection.formats.parts.checked_rows import Place
from detection.structures.arrays import Float64Array
from detection.structures.split_columns import SplitDetections


def read_rows(path: Path, columns: np.dtype[Any], *, fields: str) -> tuple[NDArray[Any], Place]:
    """Read a text file with one row a line.

    Args:
        path: the file. Empty lines are skipped.
        columns: the names and types of the columns.
        fields: the columns in words, for error messages.

    Returns:
        The rows, a structured array [N], and a function that returns the file and line of a row.

    Raises:
        InputError: naming the file, and the first line that does not have these columns.
    """

    def place(row: int) -> str:
        filled = (number for number, line in enumerate(read_lines(path, expected=fields), start=1) if line.strip())
        return f"{path}:{next(number for position, number in enumerate(filled) if position == row)}"

    try:
        # `loadtxt` parses the numbers in C, which is several times as fast as a loop in Python.
        lines = read_lines(path, expected=f"lines '{fields}'")
        rows = np.loadtxt(lines, columns, comments=None, ndmin=1) if lines else np.zeros(0, columns)
        return rows, place
    except ValueError:
        raise _first_error(path, columns, fields) from None


def _first_error(path: Path, columns: np.dtype[Any], fields: str) -> InputError:
    for number, line in enumerate(read_lines(path, expected=f"lines '{fields}'"), start=1):
        try:
            if line.strip():
                np.loadtxt([line], columns, comments=None)
        except ValueError:
            return InputError(f"{path}:{number}: expected '{fields}', got {short_repr(line)}")
    return InputError(f"{path}: expected lines '{fields}'")


def format_rows(names: Iterable[str], detections: SplitDetections) -> bytes:
    """Return the lines `name score xmin ymin xmax ymax` of N detections with N names."""
    left_top = detections.boxes_xywh[:, :2]
    corners = np.hstack([left_top + 1, left_top + detections.boxes_xywh[:, 2:]]).tolist()  # inclusive, counted from 1
    texts = [" ".join(repr(corner).removesuffix(".0") for corner in box) for box in corners]
    rows = zip(names, detections.scores.tolist(), texts, strict=True)
    return "".join(f"{name} {score!r} {text}\n" for name, score, text in rows).encode()


def from_inclusive(corners: NDArray[np.float64]) -> Float64Array:
    """Return x, y, width and height of inclusive corners: [N, 4] -> [N, 4].

    Pixel n covers n - 1 to n, so that a width is xmax - xmin + 1.
    """
    return np.hstack([corners[:, :2] - 1, corners[:, 2:] - corners[:, :2] + 1])
