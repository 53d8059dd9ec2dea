"""Operations on groups of consecutive rows of an array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, IntArray


def is_new(values: NDArray[Any]) -> BoolArray:
    """Return True where a value differs from the value before it, and for the first: [P] -> [P]."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


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
