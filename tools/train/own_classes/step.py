"""A step of `detect-train DATA` in a process of its own: `python -m tools.train.own_classes.step MODULE OPTIONS`.

It runs the command of a module. Ctrl-C in a terminal reaches all processes of a command, but only the process that
waits for this one answers it: it ends this one by SIGTERM, and tells the user in one line.

Standard input is a pipe that closes when that process is gone, also if it was killed. Then this one ends too: it must
not write to the same files as the next `detect-train`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Sequence

from detection.runtime.command_end import Stopped
from tools.command.entry_point import command


@command("detect-train")
def main(arguments: Sequence[str]) -> int:
    """Run the command of the module that the first argument names; return its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    module, *options = arguments
    try:
        return inspect.unwrap(importlib.import_module(module).main)(options) or 0
    except Stopped as stopped:
        return 128 + stopped.number


def _end_with_the_command() -> None:
    """End this process when the one that has started it is gone."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
