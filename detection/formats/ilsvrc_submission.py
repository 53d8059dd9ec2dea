"""Detections in the format of submissions to ILSVRC: lines `image_index det_id score xmin ymin xmax ymax`.

Images are called by their number in the list of the split, classes by their identifier from 1 on. Corners are counted
from 1 and inclusive, as in the annotations.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.errors import InputError
from detection.formats.parts.checked_rows import check_known, check_rows
from detection.formats.parts.inclusive_corners import from_inclusive, to_inclusive
from detection.runtime.whole_file import number_text, write_whole
from detection.structures.arrays import IntArray
from detection.structures.split_columns import SplitDetections, SplitIndex

FIELDS = "image_index det_id score xmin ymin xmax ymax"


def read_ilsvrc_submission(path: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """The detections in a file.

    Raises:
        InputError: naming the file and line, for a line that is not of seven numbers, an image or class that the split
            does not have, or numbers as `check_rows` says; or naming the file, if it is missing.
    """
    values = _read_numbers(path)

    def place(row: int) -> str:
        return f"{path}:{_line_of(path, row)}"

    images = _find(values[:, 0], index.list_numbers)
    check_known(images, place, lambda row: f"{values[row, 0]:g}", "the number of an image in the list of the split")
    labels = _find(values[:, 1], np.arange(1, len(index.class_names) + 1))
    classes = f"a class from 1 to {len(index.class_names)}"
    check_known(labels, place, lambda row: f"{values[row, 1]:g}", classes)
    boxes_xywh, scores = from_inclusive(values[:, 3:]), values[:, 2].copy()
    check_rows(boxes_xywh, scores, place, any_score=any_score)
    return SplitDetections(index, images, labels, boxes_xywh, scores)


def write_ilsvrc_submission(path: Path, detections: SplitDetections) -> None:
    """Write detections as a submission.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    numbers = detections.index.list_numbers[detections.images].tolist()
    columns = zip(
        numbers,
        (detections.labels + 1).tolist(),
        detections.scores.tolist(),
        to_inclusive(detections.boxes_xywh).tolist(),
        strict=True,
    )
    lines = [
        f"{image} {label} {score!r} {' '.join(map(number_text, corners))}\n" for image, label, score, corners in columns
    ]
    write_whole(path, "".join(lines).encode("ascii"))


def _read_numbers(path: Path) -> NDArray[np.float64]:
    """The numbers of all lines: [N, 7]; NumPy's own reader is seven times as fast as one line after another."""
    try:
        with path.open(encoding="utf-8") as file:
            values: NDArray[np.float64] = np.loadtxt(file, comments=None, ndmin=2)
    except OSError as error:
        raise InputError(f"{path}: expected lines '{FIELDS}': {error.strerror}") from None
    except ValueError:
        raise _first_fault(path) from None
    if values.shape[1] != 7:
        raise _first_fault(path)
    return values


def _first_fault(path: Path) -> InputError:
    """What is wrong with the first line that is not of seven numbers."""
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            fields = line.split()
            if fields and not (len(fields) == 7 and all(map(_is_number, fields))):
                return InputError(f"{path}:{number}: expected seven numbers '{FIELDS}', got '{line[:80]}'")
    except UnicodeDecodeError as error:
        return InputError(f"{path}: expected lines '{FIELDS}', in UTF-8: {error.reason}")
    return InputError(f"{path}: expected lines '{FIELDS}' of plain numbers")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line_of(path: Path, row: int) -> int:
    """The line of a row, which is not its number where there are empty lines."""
    with path.open(encoding="utf-8") as file:
        filled = (number for number, line in enumerate(file, start=1) if line.strip())
        return next(number for at, number in enumerate(filled) if at == row)


def _find(values: NDArray[np.float64], known: IntArray) -> IntArray:
    """Where each value stands among the known, -1 for one that does not."""
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known[order], values), len(known) - 1)
    if not len(known):
        return np.full(len(values), -1)
    found: IntArray = np.where(known[order][places] == values, order[places], -1)
    return found
