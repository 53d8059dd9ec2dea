"""The command `detect-env`: what this installation consists of, what it lacks, and how fast it detects.

detect-env                  # the table that a report of a fault should contain
detect-env --json env.json  # the same as JSON
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt

import detection
from detection.configuration import load_detector
from detection.detector import Detector
from detection.runtime.int8 import runs_int8
from detection.structures.arrays import Image
from tools.command.entry_point import command
from tools.command.missing_package import PACKAGE, requirements
from tools.command.option_parser import OptionParser
from tools.command.options import add_detector_options
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.timing import time_run
from tools.report.json_values import write_json
from tools.report.text_table import format_table

SIZE = (480, 640)
"""Height and width of the picture of the speed check."""


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-env", description="Show the installation, and how fast it detects.")
    add_detector_options(parser)
    parser.add_argument("--repeat", type=NonNegativeInt, default=3, help="measured runs of the speed check; 0 for none")
    add_output_options(parser, "json")
    return parser


@command("detect-env")
def main(arguments: Sequence[str]) -> None:
    """Print the versions, the machine, what is missing and the speed, and write them."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, settings, "json")
    report: dict[str, Any] = {"versions": find_versions(), "machine": describe_machine(), "missing": find_missing()}
    rows = [[name, str(value)] for name, value in (report["versions"] | report["machine"]).items()]
    print("\n".join(f"{name:{max(len(row[0]) for row in rows)}}  {value}" for name, value in rows))
    for extra, names in report["missing"].items():
        print(f"optional packages that are not installed: {', '.join(names)} (pip install '{PACKAGE}[{extra}]')")
    if settings.repeat:
        detector = load_detector(settings.config, settings.device)
        tell("checking the speed; --repeat 0 leaves it out")
        report["speed"] = check_speed(detector, settings.repeat)
        print(f"\na drawn picture of {SIZE[1]}x{SIZE[0]} px\n{format_speed(report['speed'])}")
    write_json(json_file, report)


def find_versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the packages that it always needs."""
    needed = {name: find_version(name) or "not installed" for name, extra in requirements() if extra is None}
    return {"Python": platform.python_version(), PACKAGE: detection.__version__, **needed}


def find_version(name: str) -> str | None:
    """Return the version of an installed package, or None without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_missing() -> dict[str, list[str]]:
    """Return the optional packages that are not installed, by the extra that brings them."""
    missing: dict[str, list[str]] = {}
    for name, extra in requirements():
        if extra is not None and name != PACKAGE and find_version(name) is None:
            missing.setdefault(extra, []).append(name)
    return missing


def describe_machine() -> dict[str, str]:
    """Return what the speed depends on besides the packages, and what OpenCV can do."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of PyTorch",
        "instructions of the processor": torch.backends.cpu.get_cpu_capability(),
        "networks in 8-bit integers": "yes" if runs_int8() else "no; float32 takes more than twice as long",
        "variables for waiting threads": ", ".join(
            f"{name}={os.environ[name]}" for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ
        ),
        "GPUs": ", ".join(gpus) or "none",
        "OpenCV's selective search": "yes" if hasattr(cv2, "ximgproc") else "no; only `engine: opencv` needs it",
    }


def check_speed(detector: Detector, repeat: int) -> dict[str, list[float]]:
    """Return the seconds of a first run, which may compile loops, and of `repeat` later runs on a drawn picture."""
    picture = draw_picture()
    runs = []
    for number in range(1 + repeat):
        tell(f"detecting, run {number + 1} of {1 + repeat}{', which may compile loops' if number == 0 else ''}")
        runs.append(time_run(lambda: detector(picture))[0])
    return {"first run": runs[:1], "later runs": runs[1:]}


def tell(line: str) -> None:
    """Print what the command is doing to standard error, so that nobody waits without knowing."""
    print(f"detect-env: {line}", file=sys.stderr, flush=True)


def draw_picture() -> Image:
    """Return a picture of coloured rectangles on a grey ground with a little noise, the same at each call."""
    random = np.random.default_rng(0)
    picture = random.normal(128, 6, (*SIZE, 3))
    for _ in range(40):
        top, left = random.integers(0, SIZE[0]), random.integers(0, SIZE[1])
        height, width = random.integers(20, 200, 2)
        picture[top : top + height, left : left + width] += random.uniform(-90, 90, 3)
    return picture.clip(0, 255).astype(np.uint8)


def format_speed(speed: dict[str, list[float]]) -> str:
    """Return a table of the medians."""
    names = {"first run": "first run, with the compilation of loops if it is needed"}
    names["later runs"] = f"later runs, median of {len(speed['later runs'])}"
    rows = [[names[name], f"{statistics.median(seconds):.2f} s"] for name, seconds in speed.items()]
    return format_table(rows)


if __name__ == "__main__":
    sys.exit(main())
