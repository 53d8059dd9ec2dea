"""A command that writes a file when it begins, waits, and writes another file when it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tools.command.entry_point import command


@command("waiting")
def main(arguments: Sequence[str]) -> int:
    begun, ended = map(Path, arguments)
    begun.touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        ended.touch()
        raise
    return 0
