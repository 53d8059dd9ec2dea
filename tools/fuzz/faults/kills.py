"""Runs a job in a process that is killed at a random moment, and then to its end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.random import Generator

from tools.fuzz.faults.job import Job

LONGEST = 600.0
"""Seconds after which a run that is not to be killed is killed all the same, because it must have hung."""

LATE = 3
"""The number of runs that may end before they are killed, for each kill that is asked for."""

RUNS = 3
"""The rerun of a job may be killed too, up to this number of times at one point, before it is left to end."""


@dataclass
class KillReport:
    """The number of runs of a job that were killed before their end, and the runs that gave another result."""

    kills: int = 0
    ended_before: int = 0
    faults: list[str] = field(default_factory=list)


def kill_and_run_again(job: Job, folder: Path, *, points: int, random: Generator) -> KillReport:
    """Kill a job at random points, run it again in the same folder, and compare the result each time.

    The moments are drawn between the beginning and the end of an undisturbed run.

    Args:
        job: the job.
        folder: an empty folder, for the output folders.
        points: the number of kills.
        random: draws the moments.
    """
    status, seconds, output = run_in_child(job, folder / "whole")
    if status:
        raise RuntimeError(f"expected the undisturbed run to end well, got status {status}: {output}")
    expected = job.result(folder / "whole")
    report = KillReport()
    while report.kills < points and report.ended_before < LATE * points:
        target = folder / "killed"
        for _ in range(int(random.integers(1, RUNS + 1))):
            status, duration, _ = run_in_child(job, target, kill_after=float(random.uniform(0, seconds)))
            killed = status == -signal.SIGKILL
            report.kills += killed
            report.ended_before += not killed
            if not killed:
                seconds = min(seconds, duration)  # other programs may have slowed the undisturbed run down
        status, _, output = run_in_child(job, target)
        if status:
            report.faults.append(f"after kill {report.kills}, the job ended with {status}: {output}")
        elif (difference := _difference(job, target, expected)) is not None:
            report.faults.append(f"after kill {report.kills}, {difference}")
        shutil.rmtree(target)
    return report


def _difference(job: Job, target: Path, expected: Any) -> str | None:
    """Return in which way a result is another than the expected one, or None if it is the same."""
    try:
        result = job.result(target)
    except Exception as error:  # whatever is wrong with the output is a fault of the job
        return f"the result cannot be read: {error}"
    return None if result == expected else "the result is another one than that of the undisturbed run"


def run_in_child(job: Job, output: Path, kill_after: float | None = None) -> tuple[int, float, str]:
    """Run a job in a process that was forked; return its status, its seconds and the end of what it printed.

    The status is -9 if the process was killed, `kill_after` seconds after its start. A forked process has all modules
    already, so that nearly all moments fall into the work itself.
    """
    output.mkdir(parents=True, exist_ok=True)
    log = output.with_suffix(".log")
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python, if this process has threads
        child = os.fork()
    if child == 0:
        _become(job, output, log)
    _wait(child, LONGEST if kill_after is None else kill_after)
    os.kill(child, signal.SIGKILL)  # which does nothing to a process that has ended
    _, status = os.waitpid(child, 0)
    printed = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    return os.waitstatus_to_exitcode(status), time.monotonic() - start, printed


def _wait(child: int, seconds: float) -> None:
    """Wait for some time, or until a child process has ended, whose status stays for `waitpid`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.002)


def _become(job: Job, output: Path, log: Path) -> None:
    """Run the job in this process, a forked one, and end it."""
    status = 70
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        status = job.main(job.arguments(output))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
