"""The action `inputs`: read damaged inputs of all kinds.

python -m tools.fuzz inputs --seed 7 --count 1000 --kinds images voc
python -m tools.fuzz inputs --seed 7 --kinds images --first 123 --count 1

The second command repeats one input, which a report has named.
"""

import random
import time
from collections.abc import Sequence

from tools.command.option_parser import OptionParser
from tools.fuzz.inputs.kinds import KINDS
from tools.fuzz.inputs.supervisor import Report, fuzz_kind


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="python -m tools.fuzz inputs", description="Read damaged inputs of all kinds.")
    parser.add_argument("--kinds", type=str, nargs="+", choices=list(KINDS), default=list(KINDS), help="what to read")
    parser.add_argument("--count", type=int, default=200, help="number of inputs of each kind")
    parser.add_argument("--seed", type=int, default=None, help="the seed; without it one is drawn and printed")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--time", type=float, default=None, help="minutes after which no further batch is started")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Read the inputs and print a line for each kind; return 1 if there were faults, else 0."""
    settings = build_parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if settings.seed is None else settings.seed
    end = None if settings.time is None else time.monotonic() + 60 * settings.time
    print(f"seed {seed}", flush=True)
    status = 0
    for kind in settings.kinds:
        report = fuzz_kind(
            kind,
            KINDS[kind].limits.seconds,
            seed=seed,
            first=settings.first,
            count=settings.count,
            ended=lambda: end is not None and time.monotonic() > end,
        )
        print(format_report(report, seed), flush=True)
        status = max(status, int(bool(report.faults)))
    return status


def format_report(report: Report, seed: int) -> str:
    """Return a line of figures, and the faults below it, each with the command that repeats it."""
    lines = [
        f"{report.kind}: {report.count} inputs, {report.results} gave a result, {report.refused} were refused, "
        f"{len(report.faults)} faults; at most {report.seconds:.2f} s and {report.mebibytes:.0f} MiB for one, "
        f"{report.growth:.0f} MiB of growth"
    ]
    for number, reason in report.faults:
        repeat = f"--kinds {report.kind} --seed {seed} --first {number} --count 1"
        lines.append(f"  python -m tools.fuzz inputs {repeat}\n    {reason.strip()}".replace("\n", "\n    "))
    return "\n".join(lines)
