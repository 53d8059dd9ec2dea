"""Runs workers and watches them from outside: a crash, a hang and a leak of memory or of files become faults."""

import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from detection.runtime.child_process import child_environment, module_command

START_SECONDS = 900.0
"""The seconds in which a worker has to start; it compiles loops on a new machine."""

WAIT = 60.0
"""A worker that says nothing for the limit of its kind times this has hung. The limit is of processor time, and other
programs may leave the worker little of it."""

BATCH = 2000
"""Inputs of one process."""

MAX_GROWTH = 150.0
"""MiB by which the memory of a worker may grow over a batch: freed memory is scattered, and some is not given back."""


@dataclass
class Report:
    """The results of reading the inputs of a kind; `faults` are pairs of the number of an input and a description."""

    kind: str
    count: int = 0
    results: int = 0
    refused: int = 0
    seconds: float = 0.0
    mebibytes: float = 0.0
    growth: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add_outcome(self, number: int, outcome: str) -> None:
        """Count an input that was read, or add it to the faults."""
        if outcome == "result":
            self.results += 1
        elif outcome == "refused":
            self.refused += 1
        else:
            self.faults.append((number, outcome))

    def add_end(self, message: dict[str, Any]) -> None:
        """Add the figures with which a worker ends."""
        self.seconds = max(self.seconds, message["seconds"])
        self.mebibytes = max(self.mebibytes, message["mebibytes"])
        self.growth = max(self.growth, message["growth"])


def fuzz_kind(
    kind: str, seconds: float, *, seed: int, first: int, count: int, ended: Callable[[], bool] = lambda: False
) -> Report:
    """Read `count` inputs of a kind from number `first` on in worker processes, and return what became of them.

    Args:
        kind: a name in `KINDS`.
        seconds: the limit of the processor time of an input.
        seed: with the number of an input, it determines the input.
        first: the number of the first input.
        count: the number of inputs.
        ended: returns True when no further batch is to be started.
    """
    report = Report(kind)
    number = first
    while number < first + count and not ended():
        last = min(number + BATCH, first + count)
        done = _run_worker(report, [kind, str(seed), str(number), str(last)], wait=seconds * WAIT)
        report.count += done - number
        number = done
    return report


def _run_worker(report: Report, arguments: list[str], *, wait: float) -> int:
    """Run a worker on a batch; return the number of the input after the last that it has read."""
    number, last = int(arguments[2]), int(arguments[3])
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, tempfile.TemporaryFile("w+") as errors:
        place = Path(folder) / "input"
        place.mkdir()
        command = module_command("tools.fuzz.inputs.worker", *arguments, str(place))
        process = subprocess.Popen(
            command, env=child_environment(), cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        reader = threading.Thread(target=_pass_on, args=[process.stdout, messages], daemon=True)
        reader.start()
        begun = False
        try:
            while (message := messages.get(timeout=wait if begun else START_SECONDS)) is not None:
                if "begin" in message:
                    number, begun = message["begin"], True
                elif "done" in message:
                    report.add_outcome(message["done"], message["outcome"])
                else:
                    _add_end(report, message, number)
                    return last
            errors.seek(0)
            report.faults.append((number, f"the process ended with {process.wait()}: {errors.read()[-1500:]}"))
        except queue.Empty:
            report.faults.append((number, f"no answer for {wait:.0f} s"))
        finally:
            process.kill()
            process.wait()
            reader.join()
    return number + 1


def _add_end(report: Report, message: dict[str, Any], number: int) -> None:
    report.add_end(message)
    if message["growth"] > MAX_GROWTH:
        report.faults.append((number, f"the memory grew by {message['growth']:.0f} MiB up to this input"))
    if message["files"] > 0:
        report.faults.append((number, f"{message['files']} more open files up to this input"))


def _pass_on(output: IO[str], messages: "queue.Queue[dict[str, Any] | None]") -> None:
    """Put the lines that a worker writes into a queue, and None at the end; a line that was cut off is left out."""
    with output:
        for line in output:
            if line.endswith("\n"):
                messages.put(json.loads(line))
    messages.put(None)
