"""Compiles loops to machine code with Numba."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function that is compiled at its first call, releases the GIL, and keeps the order of float operations.

    The machine code is stored for later processes, beside the source or in the user's cache folder. If neither can be
    written to or has any space left, or what was stored is damaged, every process compiles again.
    """
    loops: Any = numba.njit(nogil=True, error_model="numpy")(function)  # no test for division by zero
    with suppress(RuntimeError):  # there is no folder that can be written to
        # Set here and not by `cache=True`, whose errors would end the call.
        loops._cache = _Cache(function)  # type: ignore[no-untyped-call]
    compiled_function: Function = loops
    return compiled_function


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
