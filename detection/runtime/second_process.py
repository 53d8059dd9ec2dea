"""Calls compiled loops in a second process, which makes the command `detect` faster for a single photo.

Numba takes a second to import and to load its machine code, and PyTorch takes two; both hold the interpreter's lock
meanwhile. So for a single photo a second process imports Numba on another core, and receives the arrays of each call
through a pipe. If this process fails, the call is repeated in the first one, so the results are always the same.

At the first run on a machine, `compiling_ahead` lets one more process compile loops meanwhile.
"""

import gc
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from detection.runtime.child_process import child_environment, module_command
from detection.runtime.parallel.ordered_map import available_cores

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
    with suppress(OSError):
        _running.append(_start(modules, pipes=subprocess.PIPE))
    try:
        yield
    finally:
        stop_process()


@contextmanager
def compiling_ahead(modules: Sequence[str]) -> Iterator[None]:
    """Compile loops in another process inside the block if no machine code of them is stored; wait for it at the end.

    So the modules of two stages, each of which takes some seconds at the first run on a machine, are compiled at the
    same time.

    Args:
        modules: import paths of modules that this process will need later; their `load` is called.
    """
    new = [module for module in modules if not has_machine_code(module)]
    process = None
    with suppress(OSError):
        process = _start(new, pipes=subprocess.DEVNULL) if new and available_cores() > 1 else None
    try:
        yield
    except BaseException:
        if process is not None:
            process.kill()
        raise
    finally:
        if process is not None:
            process.wait()


def has_machine_code(module: str) -> bool:
    """Return True if Numba has stored machine code of a module for its present source.

    Numba compares the SHA-256 of the source with that in an index, or older versions its time. The index is not read by
    Numba here, whose import takes a second; a wrong answer would only cost time.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return False
    source = Path(spec.origin)
    folders = [source.parent / "__pycache__"]
    with suppress(RuntimeError):  # there is no home folder
        shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
        folders.append(Path(os.environ.get("NUMBA_CACHE_DIR") or shared))
    stored = (file for folder in folders for file in folder.rglob(f"{source.stem}.*.nbi"))
    modified, digest = source.stat().st_mtime, hashlib.sha256(source.read_bytes()).digest()
    return any(file.stat().st_mtime >= modified or digest in file.read_bytes() for file in stored)


def _start(modules: Sequence[str], *, pipes: int) -> subprocess.Popen[bytes]:
    """Start a process that runs `main`, with `pipes` as its input and output."""
    # Error messages are dropped, since a call that fails is repeated here. The process ends when its input ends.
    command = module_command(__name__, *modules)
    return subprocess.Popen(command, stdin=pipes, stdout=pipes, stderr=subprocess.DEVNULL, env=child_environment())


def stop_process() -> None:
    """End the second process if there is one; later calls are made in this process."""
    with _lock:
        while _running:
            process = _running.pop()
            process.kill()
            with suppress(OSError):  # the process has not read all of a request
                process.communicate()


def main(modules: Sequence[str]) -> None:
    """Do the work of the second process, until its input ends or a function raises."""
    gc.disable()  # as in `detect`: imports and the compiler create many objects, and nearly all of them stay
    with compiling_ahead(modules[1:]):
        for module in modules[:1]:
            import_module(module).load()
    for module in modules[1:]:
        import_module(module).load()
    gc.enable()
    while True:
        try:
            module, function, arguments, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(getattr(import_module(module), function)(*arguments, **options), sys.stdout.buffer, protocol=5)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
