"""The parser of all commands: a wrong option, and a value that a class refuses, ends in one line."""

from __future__ import annotations

import re
import sys
from argparse import Action
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from detection.configuration import deny_dangerous_imports
from detection.errors import InputError, is_out_of_memory, unknown_module
from tools.command.help_text import HelpFormatter, in_words

deny_dangerous_imports()

LONGEST = 600
"""The largest number of characters of a line; types with many alternatives are described at length."""

VALUES = (r"(?:Given|Got) value: (.*)$", r": (\S+) does not conform", r"(?:base 10|to float): '(.*)'$")
"""Where the value of an option stands in the messages of jsonargparse, the surest place first."""


class OptionParser(ArgumentParser):
    """jsonargparse's parser, whose errors are one line for the user, and which takes no abbreviated options.

    An abbreviation may stand for another option than the user thinks of: `--conf` would be `--config`.
    """

    def __init__(self, *arguments: Any, allow_abbrev: bool = False, **options: Any) -> None:
        super().__init__(*arguments, allow_abbrev=allow_abbrev, **({"formatter_class": HelpFormatter} | options))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the command with status 2 and one line; a parser within another raises an `ArgumentError` instead."""
        if not self.exit_on_error:
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        prog = parser.prog.replace(" [options]", "")
        line = " ".join(message.split())
        if reason := unknown_module(line):
            print(f"{prog}: {one_line(reason)}", file=sys.stderr)
            sys.exit(2)
        reason = missing_options(line, parser) or wrong_value(line, parser) or message
        print(f"{prog}: {one_line(reason)}; {prog} --help lists the options", file=sys.stderr)
        sys.exit(2)

    def instantiate(self, *arguments: Any, **options: Any) -> Namespace:
        """Return the options with their classes instantiated.

        Raises:
            InputError: if a class refuses its arguments, which come from the user.
        """
        with as_input_errors():
            built: Namespace = super().instantiate(*arguments, **options)
        return built


def missing_options(message: str, parser: ArgumentParser) -> str:
    """Return jsonargparse's message about missing options with the names that a user types, or "" for others."""
    start, found, names = message.partition("arguments are required: ")
    written = {action.dest: _written(action) for action in parser._actions}
    return f"{start}{found}{', '.join(written.get(name, name) for name in names.split(', '))}" if found else ""


def _written(action: Action) -> str:
    """Return an option as a user types it."""
    return max(action.option_strings or [action.dest], key=len)


def wrong_value(message: str, parser: ArgumentParser) -> str:
    """Return jsonargparse's message about the value of an option in words, or "" for messages about other things."""
    found = re.match(r'Parser key "([^"]+)"', message)
    actions = [action for action in parser._actions if found and action.dest == found[1]]
    words = in_words(getattr(actions[0], "_typehint", actions[0].type)) if actions else ""
    values = [match[1] for pattern in VALUES if (match := re.search(pattern, message))]
    if actions and values[:1] == ["None"]:
        return f"{_written(actions[0])}: expected a value, got none"
    if not words or not values:
        return ""
    return f"{_written(actions[0])}: expected {'a ' if 'number' in words else ''}{words}, got {values[0]}"


@contextmanager
def as_input_errors(option: str = "") -> Iterator[None]:
    """Turn the errors of classes that refuse values of options into an `InputError`, which begins with `option`.

    Libraries refuse values by nearly any type of error. `OSError` and out-of-memory errors are raised unchanged.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        start = f"{option}: " if option else ""
        if refusal := _refusal(error):  # jsonargparse adds the types that it has tried
            raise InputError(f"{start}{refusal}") from error
        reason = one_line(str(error)) or type(error).__name__
        raise InputError(f"{start}expected a valid value: {reason}") from error


def _refusal(error: BaseException | None) -> str:
    """Return the message of the first `InputError` that led to an error, or "" if there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return "" if error is None else error.line


def one_line(message: str) -> str:
    """Return a message as one line, cut to `LONGEST` characters."""
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
