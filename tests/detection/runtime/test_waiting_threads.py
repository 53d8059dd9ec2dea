"""Threads of PyTorch wait without using a core, in the package and in all commands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def shown_policy(statement: str, **environment: str) -> str:
    """Return the line in which OpenMP's library reports how its threads wait, after a statement that loads PyTorch."""
    base = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    shown = subprocess.run(
        [sys.executable, "-c", f"{statement}; import torch"],
        env=base | {"OMP_DISPLAY_ENV": "true"} | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    (line,) = [line for line in shown.splitlines() if "OMP_WAIT_POLICY" in line]
    return line


@pytest.mark.parametrize("statement", ["import detection", "import tools.train.train_classifier"])
def test_threads_wait_without_using_a_core(statement: str) -> None:
    assert "PASSIVE" in shown_policy(statement).upper()


def test_the_users_choice_is_kept() -> None:
    assert "ACTIVE" in shown_policy("import detection", OMP_WAIT_POLICY="ACTIVE").upper().replace("PASSIVE", "")
