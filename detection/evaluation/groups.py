"""Operations on groups of consecutive rows of an array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, Float64Array, IntArray


def is_new(values: NDArray[Any]) -> BoolArray:
    """Return True where a value differs from the value before it, and for the first: [P] -> [P]."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


def sort_stably(values: Float64Array) -> IntArray:
    """Return the rows of values [P] in rising order, equal ones in the given order: [P].

    It does what NumPy's stable `argsort` does, with its unstable sorts, which use vector instructions and are together
    three times as fast.
    """
    rows = np.argsort(values)
    groups = is_new(values[rows]).cumsum()  # of equal values
    return np.sort(groups * len(values) + rows) % max(len(values), 1)


def first_largest(values: NDArray[np.float64], starts: IntArray) -> IntArray:
    """Return the row of the largest value of each group, and of equal values the first.

    Args:
        values: the values of all groups, [P].
        starts: the first row of each group, [G], rising from 0, so that no group is empty.

    Returns:
        Rows of `values`, [G].
    """
    sizes = np.diff(starts, append=len(values))
    largest = np.repeat(np.maximum.reduceat(values, starts), sizes) if len(starts) else values
    rows = np.flatnonzero(values == largest)
    groups = np.repeat(np.arange(len(starts)), sizes)[rows]
    return rows[is_new(groups)]
