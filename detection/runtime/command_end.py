"""The end of a command: whatever stops it except a fault of the program becomes an exit status and one line."""

import os
import signal
import sys
from contextlib import suppress

from detection.errors import InputError, is_out_of_memory
from detection.runtime.stop_signals import Stopped


def end_of_command(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the line that tells the user why the command ended; the line may be empty.

    The status is 1, or 128 and the number of the signal that stopped the command, so 130 after Ctrl-C. A fault of the
    program is raised again, for its traceback.
    """
    match error:
        case InputError():
            return 1, error.line
        case Stopped():
            return 128 + error.number, str(error)
        case KeyboardInterrupt():
            return 128 + signal.SIGINT, "interrupted"
        case BrokenPipeError():  # the program that reads the output, such as `head`, has ended
            drop_output()
            return 1, ""
        case OSError():
            drop_output()
            return 1, f"{error.filename or 'output'}: expected to read or write it, got: {error.strerror or error}"
        case _ if is_out_of_memory(error):
            reason = " ".join(str(error).split()).rpartition(": ")[2]
            return (
                1,
                f"expected less work at once, such as a smaller size or number, got: out of memory {reason}".rstrip(),
            )
    raise error


def drop_output() -> None:
    """Drop what could not be printed, as Python would try again at its end, and report an error of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
