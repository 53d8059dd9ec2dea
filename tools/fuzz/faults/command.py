"""The action `faults`: kill commands at random points and run them again.

python -m tools.fuzz faults --points 50 --seed 7
"""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tools.command.option_parser import OptionParser
from tools.fuzz.faults.jobs import NAMES, make_jobs
from tools.fuzz.faults.kills import kill_and_run_again


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="python -m tools.fuzz faults", description="Kill commands and run them again.")
    parser.add_argument("--jobs", type=str, nargs="+", choices=NAMES, default=list(NAMES), help="the commands to kill")
    parser.add_argument("--points", type=int, default=10, help="number of kills of each command")
    parser.add_argument(
        "--seed", type=int, default=None, help="seed of the moments; without it one is drawn and printed"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Kill the commands and print a line for each; return 1 if a result was another one, else 0."""
    settings = build_parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if settings.seed is None else settings.seed
    print(f"seed {seed}", flush=True)
    status = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        jobs = make_jobs(Path(folder), settings.jobs)
        for number, name in enumerate(settings.jobs):
            place = Path(folder) / name
            random_moments = np.random.default_rng([seed, number])
            report = kill_and_run_again(jobs[name], place, points=settings.points, random=random_moments)
            print(
                f"{name}: {report.kills} kills, {report.ended_before} came after the end, {len(report.faults)} faults"
            )
            print("".join(f"  {fault}\n" for fault in report.faults), end="", flush=True)
            status = max(status, int(bool(report.faults)))
    return status
