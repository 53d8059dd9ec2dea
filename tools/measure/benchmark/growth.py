"""How the time of a detector grows with pixels, regions, members and classes, one of them at a time.

detect-benchmark growth --plot growth.png

Pixels are those of scikit-image's photos side by side, with whatever regions the detector proposes in them. Regions are
random ones, scored by the detector's last network; members are its networks, all of which score all regions; classes
are those of networks with random weights, whose detections are suppressed too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from classifier.region_classifier import RegionClassifier
from classifier.scoring.score import score_regions
from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.atomic_write import atomic_path
from tools.command.output_file import prepare_output, prepare_plot
from tools.measure.benchmark.photos import networks_of
from tools.measure.benchmark.proposals import mosaic
from tools.measure.benchmark.scoring import random_image, save_networks, time_runs
from tools.report.json_values import write_json
from tools.report.text_table import format_table

REGIONS = 250
"""Where their number is not what grows."""

NETWORK = {
    "networks": 1,
    "width_multiplier": 0.75,
    "stem_stride": 4,
    "batch_norm": True,
    "box_regression": True,
    "input_size": 64,
    "context": 4,
}
"""Of any number of classes; otherwise like the shipped members."""

Growth = list[dict[str, Any]]
"""Of each value: `value`, a number; `label`; `seconds` of all runs by stage."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the tool."""
    parser = argparse.ArgumentParser(prog="detect-benchmark growth", description="Time a detector as its work grows.")
    parser.add_argument("--config", help="YAML file of a detector; default: the shipped detector")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument(
        "--sides", nargs="*", type=int, default=[250, 500, 1000, 2000], help="of square images, in pixels"
    )
    parser.add_argument("--regions", nargs="*", type=int, default=[125, 250, 500, 1000])
    parser.add_argument("--members", nargs="*", type=int, help="the first so many networks; default: 1, 2, 4 and all")
    parser.add_argument("--classes", nargs="*", type=int, default=[20, 200, 1000])
    parser.add_argument("--repeat", type=int, default=3, help="measured runs, after some that are not")
    parser.add_argument("--json", help="file for all seconds")
    parser.add_argument("--plot", help="PNG file for a plot")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table for each of what grows."""
    options = build_parser().parse_args(arguments)
    json_file = prepare_output(options.json, suffix=".json") if options.json is not None else None
    plot_file = prepare_plot(options.plot) if options.plot is not None else None
    report = measure(options)
    write_json(json_file, report)
    if plot_file is not None:
        from tools.measure.benchmark.plots import draw_growth  # noqa: PLC0415  matplotlib is slow to import, and optional

        with atomic_path(plot_file) as temporary:
            draw_growth(report["growth"]).savefig(temporary)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All seconds; prints a table for each of what grows.

    Raises:
        InputError: if the detector cannot be used, or has fewer networks than are to be timed.
    """
    detector = load_detector(options.config, options.device)
    networks = networks_of(detector)
    members = options.members
    if members is None:
        members = sorted({min(count, len(networks)) for count in (1, 2, 4, len(networks))})
    if max(members, default=0) > len(networks):
        raise InputError(f"--members: expected at most the detector's {len(networks)} networks, got {members}")
    if not any((options.sides, options.regions, members, options.classes)):
        raise InputError("expected values of --sides, --regions, --members or --classes, got none")
    device = networks[0].device
    where = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(f"device {where['device']}, {where['threads']} threads, PyTorch {where['torch']}, {options.repeat} runs")

    growth: dict[str, Growth] = {}

    def add(factor: str, value: int, label: str, **stages: Callable[[], Any]) -> None:
        seconds = {stage: time_runs(function, device, options.repeat) for stage, function in stages.items()}
        growth.setdefault(factor, []).append({"value": value, "label": label, "seconds": seconds})

    for side in options.sides:
        image = mosaic(side)
        score = partial(detector.score, [image], [detector.propose(image)])
        add("pixels", side**2, f"{side}x{side}", propose=partial(detector.propose, image), score=score)
    for count in options.regions:
        image, boxes = random_image(count)
        add("regions", count, str(count), score=partial(score_regions, networks[-1:], [image], [boxes]))
    image, boxes = random_image(REGIONS)
    for count in members:
        add("members", count, str(count), score=partial(score_regions, networks[:count], [image], [boxes]))
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        for count in options.classes:
            (path,) = save_networks(Path(folder), argparse.Namespace(**NETWORK, classes=count))
            classify = RegionClassifier(path, device=options.device)
            one = Detector(detector.propose, classify, score_threshold=0.005)
            suppress = partial(one.suppress, boxes, classify([image], [boxes])[0], image.shape[:2])
            add("classes", count, str(count), score=partial(classify, [image], [boxes]), suppress=suppress)
    for factor, rows in growth.items():
        print(f"\n{format_growth(factor, rows)}")
    return where | {"runs": options.repeat, "growth": growth}


def format_growth(factor: str, rows: Growth) -> str:
    """Median seconds of each stage, and how many times those of the first row they are."""
    names = list(rows[0]["seconds"])
    medians = [[statistics.median(row["seconds"][name]) for name in names] for row in rows]
    table = [[factor, *(cell for name in names for cell in (name, ""))]]
    for row, of_row in zip(rows, medians, strict=True):
        pairs = zip(of_row, medians[0], strict=True)
        table.append([row["label"], *(cell for one, first in pairs for cell in (f"{one:.3f}s", f"{one / first:.1f}x"))])
    return format_table(table)
