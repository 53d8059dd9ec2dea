"""Compiled loops in a second process, where a command starts faster with one.

Numba takes a second to import and to load its machine code, and PyTorch two, both with the interpreter's lock. A
command for a single photo has another core meanwhile: a second process imports Numba there, and is sent the arrays.
Whatever becomes of it, the results are the same: what it cannot do is done here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock
from typing import Any

_started: list[CompiledProcess] = []
"""The process that calls go to: none or one."""


def call_compiled(module: str, function: str, *arguments: object, **options: object) -> Any:
    """`function(*arguments, **options)` of a module with compiled loops: in the second process, or else in this one."""
    for process in _started:
        with suppress(ProcessLostError):
            return process.call(module, function, arguments, options)
    return getattr(import_module(module), function)(*arguments, **options)


@contextmanager
def compiled_process(modules: Sequence[str]) -> Iterator[None]:
    """Calls of `call_compiled` within go to a second process, which is there at once and ready when it can.

    Args:
        modules: import paths; it starts with calling the function `load` of each.
    """
    process = CompiledProcess(modules)
    _started.append(process)
    try:
        yield
    finally:
        _started.remove(process)
        process.close()


class ProcessLostError(Exception):
    """The second process could not do what it was asked for."""


class CompiledProcess:
    """A process that calls functions of modules, one call after the other."""

    def __init__(self, modules: Sequence[str]) -> None:
        # -P: modules are found as they are here, and not in the folder that the user happens to be in. Its complaints
        # would be said twice, since what it fails at is tried again. It ends with its input.
        command = [sys.executable, "-P", "-m", __name__, *modules]
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )

    def call(self, module: str, function: str, arguments: Sequence[object], options: dict[str, object]) -> Any:
        """What the function returns.

        Raises:
            ProcessLostError: if it raised, or the process is not there, now and at every later call.
        """
        with self._lock:
            if self._process is None or self._process.stdin is None or self._process.stdout is None:
                raise ProcessLostError
            try:
                pickle.dump((module, function, arguments, options), self._process.stdin, protocol=5)
                self._process.stdin.flush()
                return pickle.load(self._process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                self._end()
                raise ProcessLostError from None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError):  # of a request that it did not read to the end
                process.communicate()


def main(modules: Sequence[str]) -> None:
    """All that the second process does, until there is nothing more to read or a function raises."""
    for module in modules:
        import_module(module).load()
    while True:
        try:
            module, function, arguments, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(getattr(import_module(module), function)(*arguments, **options), sys.stdout.buffer, protocol=5)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
