"""The end of a command: whatever stops it except a fault of the program becomes an exit status and one line."""

import os
import signal
import sys
from contextlib import suppress

from detection.errors import InputError, is_out_of_memory
from detection.runtime.stop_signals import Stopped


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
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "expected names of files without a null character, got one with it"
    return None


def drop_output() -> None:
    """Drop what could not be printed, as Python would try again at its end, and report an error of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
