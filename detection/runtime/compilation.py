"""Loops compiled to machine code by Numba when they are first called, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function compiled, to run without the GIL and with floating-point operations in the order of the source.

    Machine code is kept beside the source, or in the user's cache folder where that is read-only. Where neither can be
    written to, every process compiles anew.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}  # which does not test for division by zero
    try:
        loops: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        loops = numba.njit(**options)(function)
    return loops
