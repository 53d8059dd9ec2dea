"""The steps that run in processes of their own, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.runtime.child_process import child_environment
from tests.tools.train.own_classes import waiting_command
from tools.train.own_classes.steps import run

WAIT = 60.0
"""Seconds until a step that does not begin fails the test."""


def test_ctrl_c_ends_the_step_first_and_without_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The step cleans up before the command ends, and only the command tells the user."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def interrupt() -> None:
        limit = time.monotonic() + WAIT
        while not begun.exists() and time.monotonic() < limit:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(waiting_command.__name__, str(begun), str(ended))
    thread.join()
    assert ended.exists()
    assert capfd.readouterr().err == ""


def test_a_step_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    """Otherwise the step and that of the next command would write to the same files."""
    begun = tmp_path / "begun"
    call = f"run({waiting_command.__name__!r}, {str(begun)!r}, {str(tmp_path / 'ended')!r})"
    code = f"from tools.train.own_classes.steps import run; {call}"
    command = subprocess.Popen([sys.executable, "-c", code], env=child_environment(), stdout=subprocess.PIPE)
    limit = time.monotonic() + WAIT
    while not begun.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    command.kill()
    start = time.monotonic()
    command.communicate()  # which waits for all processes that have the pipe
    assert begun.exists()
    assert time.monotonic() - start < waiting_command.SECONDS / 2


def test_a_step_that_is_killed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"waiting_command: expected the step to end by itself, got exit status -9"):
        run(waiting_command.__name__, "--kill", str(tmp_path / "ended"))


def test_a_mistake_in_a_step_is_one_line_and_its_status(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--config=own_classes.yaml", f"--data={tmp_path}", f"--output={tmp_path}/boxes.txt"]
    with pytest.raises(SystemExit, match="1"):
        run("tools.data.propose", *options)
    err = capfd.readouterr().err
    assert err.startswith("detect-train: ")
    assert err.count("\n") == 1
