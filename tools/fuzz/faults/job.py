"""`Job`, a command that may be killed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Main = Callable[[Sequence[str]], int]


class Job(NamedTuple):
    """A command that may be killed.

    Attributes:
        main: its entry point, which returns the exit status.
        arguments: the arguments for an output folder, which may hold what a killed run has left.
        result: what has to be the same after a kill, of an output folder.
    """

    main: Main
    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], Any]
