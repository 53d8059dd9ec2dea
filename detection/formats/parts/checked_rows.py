"""Checks that the detections of every file format must pass, and the step that joins them into one object."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from detection.errors import InputError, short_repr
from detection.structures.arrays import BoolArray, Float64Array, IntArray
from detection.structures.boxes import LARGEST_COORDINATE
from detection.structures.split_columns import SplitDetections, SplitIndex

Place = Callable[[int], str]
"""Returns the file and line that a row was read from."""

Rows = tuple[IntArray, IntArray, Float64Array, Float64Array]
"""Images, labels, boxes and scores of some detections, as in `SplitDetections`."""


def join_rows(index: SplitIndex, parts: Iterable[Rows]) -> SplitDetections:
    """Return the detections of all parts, in their order; there may be none."""
    empty = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)
    return SplitDetections(index, *(np.concatenate(column) for column in zip(empty, *parts, strict=True)))


def positions(names: Iterable[Any]) -> dict[Any, int]:
    """Return the position of each name."""
    return {name: position for position, name in enumerate(names)}


def find_positions(names: Sequence[Any], known: Mapping[Any, int], place: Place, *, expected: str) -> IntArray:
    """Return the position of each name: int64 [N].

    Args:
        names: the names or numbers of N images or classes, as they stand in the file.
        known: the position of each name that may occur.
        place: returns the file and line of a row.
        expected: what a name should be, for the error message.

    Raises:
        InputError: naming the place of the first unknown name.
    """
    result = np.array([known.get(name, -1) for name in names], np.int64)
    if (result < 0).any():
        first = int((result < 0).argmax())
        # Numbers of a text file are read as floats: 8.0 stands in it as 8.
        raise InputError(f"{place(first)}: expected {expected}, got {short_repr(names[first]).removesuffix('.0')}")
    return result


def find_numbers(numbers: IntArray, known: IntArray) -> IntArray:
    """Return the position of each number [N] among K known ones: int64 [N].

    Raises:
        InputError: if a number is unknown; it does not say where.
    """
    if not len(numbers):
        return numbers
    order = np.argsort(known)
    changes = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))  # there are few different numbers
    indices: IntArray = order[np.searchsorted(known, numbers[changes], sorter=order).clip(max=len(known) - 1)]
    if (known[indices] != numbers[changes]).any():
        raise InputError("expected only known numbers")
    return np.repeat(indices, np.diff(changes, append=len(numbers)))


def check_rows(boxes_xywh: Float64Array, scores: Float64Array, place: Place, *, any_score: bool) -> None:
    """Check that N detections can be scored.

    Args:
        boxes_xywh: x, y, width and height of each box, [N, 4].
        scores: the score of each box, [N].
        place: returns the file and line of a row.
        any_score: also accept scores outside 0-1, for example those of a support vector machine.

    Raises:
        InputError: naming the place of the first row with a number that is not finite or too large, a negative width or
            height, or a score outside 0-1.
    """
    ranges = [(column.min(initial=0), column.max(initial=0)) for column in (boxes_xywh, boxes_xywh[:, 2:], scores)]
    small = np.isfinite(ranges).all() and max(map(abs, ranges[0])) <= LARGEST_COORDINATE
    if small and ranges[1][0] >= 0 and (any_score or (ranges[2][1] <= 1 and ranges[2][0] >= 0)):
        return  # this is several times as fast as looking for a wrong row
    finite: BoolArray = np.asarray(np.isfinite(np.column_stack([boxes_xywh, scores])).all(axis=1))
    negative: BoolArray = np.asarray((boxes_xywh[:, 2:] < 0).any(axis=1))
    outside = ~((scores >= 0) & (scores <= 1)) & (not any_score)
    large: BoolArray = np.asarray((np.abs(boxes_xywh) > LARGEST_COORDINATE).any(axis=1))
    row = int((~finite | large | negative | outside).argmax())
    x, y, width, height = boxes_xywh[row].tolist()
    if not finite[row]:
        reason = f"expected finite numbers, got x {x}, y {y}, width {width}, height {height}, score {scores[row]}"
    elif large[row]:
        reason = f"expected numbers of at most {LARGEST_COORDINATE:g}, got x {x}, y {y}, width {width}, height {height}"
    elif negative[row]:
        reason = f"expected a width and height of 0 or more, got {width:g} and {height:g} (x {x:g}, y {y:g})"
    else:
        reason = f"expected a score in 0-1, got {scores[row]:g}; --any-score accepts others"
    raise InputError(f"{place(row)}: {reason}")
