"""Groups of neighbouring rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, IntArray


def is_new(values: NDArray[Any]) -> BoolArray:
    """Where a value differs from the one before: [P] -> [P]."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


def first_largest(values: NDArray[np.float64], starts: IntArray) -> IntArray:
    """The row of the largest value of each group, the first of equal ones: [P], G beginnings of groups -> [G].

    The beginnings rise, from 0 on, so that no group is empty.
    """
    sizes = np.diff(starts, append=len(values))
    largest = np.repeat(np.maximum.reduceat(values, starts), sizes) if len(starts) else values
    rows = np.flatnonzero(values == largest)
    groups = np.repeat(np.arange(len(starts)), sizes)[rows]
    return rows[is_new(groups)]
