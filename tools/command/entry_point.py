"""The frame around the work of every command: an error becomes one line, and the exit status tells what happened.

`command` decorates the `main` of each command. `run_action` serves the commands whose first argument names an action,
such as `detect-evaluate run`.
"""

from __future__ import annotations

import functools
import importlib
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from detection.errors import InputError

INTERRUPTED = 128 + signal.SIGINT
"""The exit status of a command that the user stopped with Ctrl-C."""


class Main(Protocol):
    """The entry point of a command; it reads `sys.argv` unless it is given arguments, and returns the exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command."""


def command(name: str) -> Callable[[Callable[[Sequence[str]], int | None]], Main]:
    """Turn a function of the command-line arguments into the entry point of the console script `name`.

    The function returns the exit status, where None stands for 0. If it raises an `InputError`, the entry point prints
    one line on standard error and returns 1; after Ctrl-C it returns 130.
    """

    def decorate(run: Callable[[Sequence[str]], int | None]) -> Main:
        @functools.wraps(run)
        def main(arguments: Sequence[str] | None = None) -> int:
            try:
                return run(sys.argv[1:] if arguments is None else arguments) or 0
            except InputError as error:
                status, reason = 1, error.line
            except KeyboardInterrupt:
                status, reason = INTERRUPTED, "interrupted"
            print(f"{name}: {reason}", file=sys.stderr)
            return status

        return main

    return decorate


def run_action(name: str, modules: Mapping[str, str], arguments: Sequence[str]) -> int | None:
    """Run the action of the command `name` that the first argument names; return its exit status.

    `modules` has the import path of each action's module, whose `main` gets the other arguments. Only the module of
    the action that runs is imported. Without the name of an action the usage is printed, and the status is 2.
    """
    action, *options = arguments or [""]
    if action in modules:
        status: int | None = importlib.import_module(modules[action]).main(options)
        return status
    asked = action in ("-h", "--help")
    usage = f"usage: {name} {{{','.join(modules)}}} ...; each of them has a --help"
    print(usage, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
