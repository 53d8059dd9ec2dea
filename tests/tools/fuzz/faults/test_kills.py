"""A job that is killed and run again gives the result of an undisturbed run; what is not so is found."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.runtime.child_process import child_environment, module_command
from tools.fuzz.faults.job import Job
from tools.fuzz.faults.kills import kill_and_run_again, run_in_child

STEPS = 20
JOBS = ("propose", "evaluate", "dataset", "detect")


def test_commands_survive_kills() -> None:
    """A long run kills all commands at more points: `python -m tools.fuzz faults --points 50`."""
    command = module_command("tools.fuzz", "faults", "--jobs", *JOBS, "--points", "2", "--seed", "1")
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    seed, *lines = done.stdout.splitlines()
    assert seed == "seed 1"
    assert [line.partition(":")[0] for line in lines] == list(JOBS)
    assert all(line.endswith(" 0 faults") for line in lines)


def counting(folder: Path) -> list[str]:
    return [str(folder)]


def count_on(arguments: Sequence[str]) -> int:
    """Count to `STEPS` in a file, from where an earlier run has stopped."""
    path = Path(arguments[0]) / "count"
    for number in range(int(path.read_text()) if path.exists() else 0, STEPS):
        time.sleep(0.005)
        temporary = path.with_name("temporary")
        temporary.write_text(str(number + 1))
        temporary.replace(path)
    return 0


def add_lines(arguments: Sequence[str]) -> int:
    """Append `STEPS` lines to a file, also to those of an earlier run."""
    with (Path(arguments[0]) / "count").open("a") as file:
        for number in range(STEPS):
            time.sleep(0.005)
            print(number, file=file, flush=True)
    return 0


def read_count(folder: Path) -> str:
    return (folder / "count").read_text()


def test_a_job_that_goes_on_has_no_faults(tmp_path: Path) -> None:
    report = kill_and_run_again(
        Job(count_on, counting, read_count), tmp_path, points=8, random=np.random.default_rng(0)
    )
    assert report.faults == []
    assert report.kills >= 8


def test_a_job_that_repeats_itself_is_found(tmp_path: Path) -> None:
    report = kill_and_run_again(
        Job(add_lines, counting, read_count), tmp_path, points=4, random=np.random.default_rng(0)
    )
    assert "the result is another one than that of the undisturbed run" in report.faults[0]


def test_a_job_that_fails_after_a_kill_is_found(tmp_path: Path) -> None:
    def refuse(arguments: Sequence[str]) -> int:
        begun = Path(arguments[0]) / "count"
        if begun.exists():
            sys.stderr.write("begun already\n")
            return 1
        begun.touch()
        time.sleep(0.2)
        return 0

    report = kill_and_run_again(Job(refuse, counting, read_count), tmp_path, points=3, random=np.random.default_rng(0))
    assert "the job ended with 1: begun already" in report.faults[0]


def test_status_and_output_of_a_child(tmp_path: Path) -> None:
    def fail(_: Sequence[str]) -> int:
        raise ValueError("a fault")

    status, _, output = run_in_child(Job(fail, counting, read_count), tmp_path / "a")
    assert status == 70
    assert "ValueError: a fault" in output
    status, seconds, _ = run_in_child(Job(count_on, counting, read_count), tmp_path / "b", kill_after=0.01)
    assert status == -9
    assert seconds >= 0.01
