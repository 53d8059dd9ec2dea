"""What stops a command from outside: Ctrl-C, SIGTERM (`kill`, a system that shuts down) and SIGHUP (a closed terminal).

Each raises a `KeyboardInterrupt`, so that a command ends as after Ctrl-C: temporary files are deleted, and results so
far are written.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
