"""The checks that the detections of every file format have to pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detection.errors import InputError
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.split_columns import Columns

Place = Callable[[int], str]
"""From a row to the file and line that it stands in."""


def check_rows(boxes_xywh: Columns, scores: Columns, place: Place, *, any_score: bool) -> None:
    """See whether rows [N] of boxes [N, 4] and scores can be scored.

    Args:
        boxes_xywh: x, y, width, height.
        scores: one a box.
        place: names the file and line of a row.
        any_score: take scores outside 0-1 too, as those of a support vector machine are.

    Raises:
        InputError: naming the place of the first row with a number that is not finite, a negative width or height, or
            a score outside 0-1.
    """
    finite: BoolArray = np.asarray(np.isfinite(np.column_stack([boxes_xywh, scores])).all(axis=1))
    turned: BoolArray = np.asarray((boxes_xywh[:, 2:] < 0).any(axis=1))
    outside = ~((scores >= 0) & (scores <= 1))
    wrong: BoolArray = ~finite | turned
    if not any_score:
        wrong |= outside
    if not wrong.any():
        return
    row = int(wrong.argmax())
    x, y, width, height = boxes_xywh[row].tolist()
    if not finite[row]:
        reason = f"expected finite numbers, got x {x}, y {y}, width {width}, height {height}, score {scores[row]}"
    elif turned[row]:
        reason = f"expected a width and height of 0 or more, got {width:g} and {height:g} (x {x:g}, y {y:g})"
    else:
        reason = f"expected a score in 0-1, got {scores[row]:g}; --any-score takes others"
    raise InputError(f"{place(row)}: {reason}")


def check_known(rows: IntArray, place: Place, describe: Callable[[int], str], expected: str) -> None:
    """See whether all images or classes were found, -1 standing for one that was not.

    Raises:
        InputError: naming the place of the first that was not, what was `expected` and what `describe` says of it.
    """
    unknown = np.flatnonzero(rows < 0)
    if unknown.size:
        first = int(unknown[0])
        raise InputError(f"{place(first)}: expected {expected}, got {describe(first)}")
