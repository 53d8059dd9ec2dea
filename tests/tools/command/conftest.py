"""Parsers that the runs of commands in a file of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module

import pytest

from tests.tools.command.all_commands import Command, all_commands


def modules(command: Command) -> set[str]:
    """Return the names of the modules whose `build_parser` a command or an action of it may call."""
    main = import_module(command.main.__module__)
    actions = getattr(main, "ACTIONS", getattr(main, "BENCHMARKS", {}))
    return {main.__name__, *(actions.values() if isinstance(actions, dict) else ())}


@pytest.fixture(scope="module")
def parsers_built_once() -> Iterator[None]:
    """Let all runs of a command in a file use the same parser, since building it takes as long as the run."""
    built = cache(lambda build: build())
    names = {name for command in all_commands().values() for name in modules(command)}
    with pytest.MonkeyPatch.context() as patch:
        for module in map(import_module, names):
            if hasattr(module, "build_parser"):
                patch.setattr(module, "build_parser", partial(built, module.build_parser))
        yield
