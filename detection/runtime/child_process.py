"""The command and the environment of a child process that runs a module of this package."""

import os
import sys
from pathlib import Path


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in a process of its own; it needs the variables of `child_environment`."""
    return [sys.executable, "-P", "-m", module, *arguments]  # -P: modules are not searched in the working directory


def child_environment() -> dict[str, str]:
    """Return the environment for a child process that imports the same copy of this package.

    It does not import an older installed one.
    """
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
