"""The process that reads damaged inputs: `python -m tools.fuzz.inputs.worker KIND SEED FIRST LAST FOLDER`.

It writes a line of JSON when it begins an input, when it has read it, and at the end, so that the process which started
it knows which input was at work when this one crashes or hangs.
"""

import faulthandler
import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError, is_control, shorten
from tools.fuzz.inputs.kinds import KINDS, Kind
from tools.fuzz.inputs.target import Target

WARM_UP = 50
"""Inputs after which the memory of the process is taken as what it needs."""


def main(kind: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Read the inputs `first` to `last` - 1 of a kind."""
    warnings.simplefilter("error")  # a warning that a library prints is noise for the user
    faulthandler.enable()
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be mixed with the lines of this process

    def tell(**values: Any) -> None:
        output.write(json.dumps(values) + "\n")
        output.flush()

    target = KINDS[kind].make(folder)
    slowest, highest, resident, files = 0.0, 0.0, 0.0, 0
    for number in range(first, last):
        tell(begin=number)
        outcome, seconds, mebibytes = read_one(KINDS[kind], target, np.random.default_rng([seed, number]))
        tell(done=number, outcome=outcome)
        slowest, highest = max(slowest, seconds), max(highest, mebibytes)
        if number - first == min(WARM_UP, (last - first) // 2):
            resident, files = memory("VmRSS"), open_files()
    growth = {"growth": memory("VmRSS") - resident, "files": open_files() - files}
    tell(end=last, seconds=slowest, mebibytes=highest, **growth)


def read_one(kind: Kind, target: Target, random: np.random.Generator) -> tuple[str, float, float]:
    """Return the outcome of one input, the seconds of processor time and the MiB of memory that its reading took.

    The outcome is "result", "refused", or the description of a fault.
    """
    target.write(random)
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak of the memory to what is in use now
    before, start = memory("VmHWM"), time.process_time()
    outcome = "result"
    try:
        target.read()
    except InputError as error:
        outcome = "refused" if error.line and not any(map(is_control, error.line)) else f"a message {error.line!r}"
    except Exception:
        outcome = "\n".join(shorten(line) for line in traceback.format_exc().splitlines())
    seconds, mebibytes = time.process_time() - start, memory("VmHWM") - before
    if seconds > kind.limits.seconds:
        outcome = f"{seconds:.1f} s, more than the limit of {kind.limits.seconds} s"
    if mebibytes > kind.limits.mebibytes:
        outcome = f"{mebibytes:.0f} MiB, more than the limit of {kind.limits.mebibytes} MiB"
    return outcome, seconds, mebibytes


def memory(name: str, process: int | str = "self") -> float:
    """Return a number of MiB from the status of a process: `VmRSS` for the memory in use, `VmHWM` for its peak."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(f"{name}:")[2].split(maxsplit=1)[0]) / 1024


def open_files(process: int | str = "self") -> int:
    """Return the number of open files of a process."""
    return len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
