"""Loops compiled to machine code by Numba when they are first called, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function compiled: without the GIL, with the floating-point results of the order in which it is written.

    Machine code is kept beside the source, or in the user's cache folder where that is read-only. Where neither can be
    written, every process compiles anew.
    """
    options = {"nogil": True, "error_model": "numpy"}  # no test for division by zero
    try:
        loops: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder for the cache
        loops = numba.njit(**options)(function)
    return loops
