"""The frame around the work of every command: an error becomes one line, and the exit status tells what happened.

`command` decorates the `main` of each command. `run_action` serves the commands whose first argument names an action,
such as `detect-evaluate run`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from detection.runtime.command_end import drop_output, end_of_command, open_streams, raising_stopped


class Main(Protocol):
    """The entry point of a command; it reads `sys.argv` unless it is given arguments, and returns the exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command."""


def command(name: str) -> Callable[[Callable[[Sequence[str]], int | None]], Main]:
    """Turn a function of the command-line arguments into the entry point of the console script `name`.

    The function returns the exit status, where None stands for 0. If a signal stops it, or an error that is no fault of
    the program, the entry point prints one line on standard error and returns another status; see
    `detection.runtime.command_end`.
    """

    def decorate(run: Callable[[Sequence[str]], int | None]) -> Main:
        @functools.wraps(run)
        def main(arguments: Sequence[str] | None = None) -> int:
            open_streams()
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be printable
            try:
                with raising_stopped():
                    status = run(sys.argv[1:] if arguments is None else arguments) or 0
                    sys.stdout.flush()
            except (Exception, KeyboardInterrupt) as error:
                return report_end(name, error)
            return status

        return main

    return decorate


def report_end(name: str, error: BaseException) -> int:
    """Print why the command `name` ended, in one line, and return its status; raise a fault of the program again."""
    status, reason = end_of_command(error)
    if reason:
        print(f"{name}: {reason}", file=sys.stderr)
    drop_output()
    return status


def run_action(name: str, modules: Mapping[str, str], arguments: Sequence[str], *, more: str = "") -> int | None:
    """Run the action of the command `name` that the first argument names; return its exit status.

    `modules` has the import path of each action's module, whose `main` gets the other arguments. Only the module of
    the action that runs is imported. Without arguments the usage is printed, with `more` at its end, and the status is
    2, as for an unknown action. `--help` also prints a line about each action, which is the first one of its module's
    docstring.
    """
    action, *options = arguments or [""]
    if action in modules:
        status: int | None = importlib.import_module(modules[action]).main(options)
        return status
    asked = action in ("-h", "--help")
    if action and not asked:
        print(f"{name}: expected an action: {', '.join(modules)}, got '{action}'", file=sys.stderr)
        return 2
    usage = f"usage: {name} {{{','.join(modules)}}} ...; each of them has a --help{more}"
    print(usage, file=sys.stdout if asked else sys.stderr)
    if asked:
        width = max(map(len, modules))
        print("\n".join(f"  {name:{width}}  {_summary(module)}" for name, module in modules.items()))
    return 0 if asked else 2


def _summary(module: str) -> str:
    """Return what the first line of a module's docstring says about it, without importing the module."""
    spec = importlib.util.find_spec(module)
    text = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin is not None else ""
    line = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return line.partition(": ")[2]
