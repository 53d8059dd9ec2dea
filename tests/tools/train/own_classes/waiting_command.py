"""A command that writes a file when it begins, waits, and writes another file when it is interrupted.

With `--kill` in place of the first file, it kills itself, as a system without memory would.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tools.command.entry_point import command

SECONDS = 60.0
"""The time that the command waits."""


@command("waiting")
def main(arguments: Sequence[str]) -> int:
    if arguments[0] == "--kill":
        os.kill(os.getpid(), signal.SIGKILL)
    begun, ended = map(Path, arguments)
    begun.touch()
    try:
        time.sleep(SECONDS)
    except KeyboardInterrupt:
        ended.touch()
        raise
    return 0
