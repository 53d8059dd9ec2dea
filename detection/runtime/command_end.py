"""The end of a command: whatever stops it except a fault of the program becomes an exit status and one line.

Ctrl-C, SIGTERM (`kill`, a system that shuts down) and SIGHUP (a closed terminal) stop it from outside. Each raises a
`KeyboardInterrupt`, so that a command ends as after Ctrl-C: temporary files are deleted, and results so far are kept.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from detection.errors import InputError, is_out_of_memory

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a process without a chance to write anything, unless it handles them."""


class Stopped(KeyboardInterrupt):
    """One of the signals `ENDING` has arrived; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def raising_stopped() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped` in the block; after the first one, further ones are ignored.

    A signal that is ignored or handled already, as SIGHUP is below `nohup`, stays so.
    """
    chosen = [number for number in ENDING if _in_main_thread() and signal.getsignal(number) == signal.SIG_DFL]

    def stop(number: int, _: FrameType | None) -> None:
        for other in chosen:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    for number in chosen:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in chosen:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def holding_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait until the block has ended, so that it can write what was found so far."""
    numbers = [signal.SIGINT, *ENDING] if _in_main_thread() else []
    handlers = {number: signal.getsignal(number) for number in numbers}
    handled = {number: handler for number, handler in handlers.items() if callable(handler)}
    held: list[int] = []
    for number in handled:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        for number in held[:1]:
            signal.raise_signal(number)


def _in_main_thread() -> bool:
    """Return True in the only thread that may set handlers."""
    return threading.current_thread() is threading.main_thread()


def end_of_command(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the line that tells the user why the command ended; the line may be empty.

    The status is 1, or 128 plus the number of the signal that stopped the command, so 130 after Ctrl-C. A fault of the
    program is raised again, for its traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        return (128 + error.number, str(error)) if isinstance(error, Stopped) else (128 + signal.SIGINT, "interrupted")
    reason = _line(error)
    if reason is None:
        raise error
    return 1, reason


def _line(error: BaseException) -> str | None:
    """Return the line about an error that is no fault of the program, or None."""
    if isinstance(error, InputError):
        return error.line
    if isinstance(error, BrokenPipeError):  # the program that reads the output, such as `head`, has ended
        return ""
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: expected to read or write it, got: {error.strerror or error}"
    if is_out_of_memory(error):
        return "expected less work at once, such as smaller sizes or numbers, got: out of memory"
    return _line_about_name(error) if isinstance(error, ValueError) else None


def _line_about_name(error: ValueError) -> str | None:
    """Return the line about a name that no file can have, or that is no text; None for another error."""
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return f"{error.object[:200]!r}: expected names in UTF-8, got others; rename the files or folders"
    if "embedded null" in str(error):
        return "expected names of files without a null character, got one with it"
    return None


def open_streams() -> None:
    """Let what is printed go nowhere if the process was started with a closed output, as by `>&-` in a shell."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123  until the process ends


def drop_output() -> None:
    """Drop what could not be printed. Otherwise Python would try again at its end, and report an error of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
