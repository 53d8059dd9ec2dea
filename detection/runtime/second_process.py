"""Calls compiled loops in a second process, which makes the command `detect` faster for a single photo.

Numba takes a second to import and to load its machine code, and PyTorch takes two; both hold the interpreter's lock
meanwhile. So for a single photo a second process imports Numba on another core, and receives the arrays of each call
through a pipe. If this process fails, the call is repeated in the first one, so the results are always the same.
"""

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock
from typing import Any

from detection.runtime.child_process import child_environment, module_command

_running: list[subprocess.Popen[bytes]] = []
"""The second process, or nothing if there is none."""

_lock = Lock()
"""Held during a call, so that the threads of the first process call one after the other."""


def call_compiled(module: str, function: str, *arguments: object, **options: object) -> Any:
    """Return `function(*arguments, **options)` of a module, called in the second process if there is one."""
    if _running:
        with _lock, suppress(IndexError, OSError, EOFError, pickle.UnpicklingError):
            return _call(_running[0], (module, function, arguments, options))
        stop_process()
    return getattr(import_module(module), function)(*arguments, **options)


def _call(process: subprocess.Popen[bytes], request: tuple[object, ...]) -> Any:
    if process.stdin is None or process.stdout is None:
        raise OSError("the second process has no pipes")
    pickle.dump(request, process.stdin, protocol=5)
    process.stdin.flush()
    return pickle.load(process.stdout)


@contextmanager
def compiled_process(modules: Sequence[str]) -> Iterator[None]:
    """Start a second process for the calls of `call_compiled` inside the block, without waiting until it is ready.

    Args:
        modules: import paths of the modules whose functions will be called. The process first calls `load` of each.
    """
    # Error messages are dropped, since a call that fails is repeated here. The process ends when its input ends.
    command = module_command(__name__, *modules)
    pipe = subprocess.PIPE
    with suppress(OSError):
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=child_environment())
        _running.append(process)
    try:
        yield
    finally:
        stop_process()


def stop_process() -> None:
    """End the second process if there is one; later calls are made in this process."""
    with _lock:
        while _running:
            process = _running.pop()
            process.kill()
            with suppress(OSError):  # if it did not read a request to the end
                process.communicate()


def main(modules: Sequence[str]) -> None:
    """Do the work of the second process, until its input ends or a function raises."""
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
