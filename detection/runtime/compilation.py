"""Compiles loops to machine code with Numba."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])

_njit: Any = partial(numba.njit, error_model="numpy", no_cfunc_wrapper=True)
"""The compiler, without tests for division by zero, and without functions for callers in C."""


def compiled(function: Function) -> Function:
    """Return a function that is compiled at its first call, releases the GIL, and keeps the order of float operations.

    The machine code is stored for later processes, beside the source or in the user's cache folder. If neither can be
    written to or has any space left, or what was stored is damaged, every process compiles again.
    """
    loops: Any = _njit(nogil=True)(function)
    with suppress(RuntimeError):  # there is no folder that can be written to
        # The cache is set here, because errors of `cache=True` would end the call.
        loops._cache = _Cache(function)  # type: ignore[no-untyped-call]
    compiled_function: Function = loops
    return compiled_function


def compiled_part(function: Function) -> Function:
    """Return a function that only compiled functions call. It becomes a part of their machine code.

    It is compiled faster than by `compiled`, since nothing is made for callers in Python, and nothing is stored. It has
    to be in the file of its callers, because only a change of that file makes their stored machine code invalid.
    """
    part: Function = _njit(no_cpython_wrapper=True)(function)
    return part


class _Cache(FunctionCache):
    """Numba's cache of machine code, whose errors count as a cache without the function."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the stored machine code, or None if there is none or it cannot be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # unpickling a damaged file raises nearly anything
            with suppress(Exception):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store machine code if that is possible."""
        with suppress(Exception):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
