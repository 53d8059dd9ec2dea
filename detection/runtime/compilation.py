"""Compiles loops to machine code with Numba."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function that is compiled at its first call, releases the GIL, and keeps the order of float operations.

    The machine code is stored for later processes, beside the source or in the user's cache folder. If neither can be
    written to, every process compiles again.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}  # no test for division by zero
    try:
        loops: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder that can be written to
        loops = numba.njit(**options)(function)
    return loops
