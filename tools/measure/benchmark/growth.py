"""The benchmark of growth: the time of a detector as pixels, regions, members or classes grow, one at a time.

detect-benchmark growth

Pixels grow in photos of scikit-image side by side, with whatever regions the detector proposes in them. Regions are
random and are scored by the detector's last network. Members are the detector's networks, all of which score all
regions. Classes are those of networks with random weights, whose detections are also suppressed.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from classifier.region_classifier import RegionClassifier
from classifier.scoring.score import Cascade, score_regions
from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Side, add_detector_options, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.photos import describe_machine, networks_of
from tools.measure.benchmark.proposals import mosaic
from tools.measure.benchmark.scoring import WARM_UP_RUNS, random_image, save_networks
from tools.measure.benchmark.scoring import build_parser as build_network_parser
from tools.measure.benchmark.timing import time_runs
from tools.report.json_values import write_json
from tools.report.text_table import format_table

REGIONS = 250
"""The number of regions where something else grows."""

NETWORK = {
    "networks": 1,
    "width_multiplier": 0.75,
    "stem_stride": 4,
    "batch_norm": True,
    "box_regression": True,
    "input_size": 64,
    "context": 4,
}
"""The options of a network like the shipped members, except for its number of classes."""

Growth = list[dict[str, Any]]
"""For each value, a dictionary of `value`, a number; its `label`; and the `seconds` of all runs by stage."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark growth", description="Time a detector as its work grows.")
    add_detector_options(parser)
    sides = "sides of square images, in pixels"
    parser.add_argument("--sides", nargs="*", type=Side, default=[250, 500, 1000, 2000], help=sides)
    parser.add_argument("--regions", nargs="*", type=Count, default=[125, 250, 500, 1000], help="numbers of regions")
    parser.add_argument("--members", nargs="*", type=Count, help="numbers of networks; default: 1, 2, 4 and all")
    parser.add_argument(
        "--classes", nargs="*", type=whole(1, 100_000), default=[20, 200, 1000], help="numbers of classes"
    )
    parser.add_argument("--repeat", type=Count, default=3, help="measured runs, after warm-up runs")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table for each of what grows."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    write_json(json_file, measure(options))


def measure(options: Namespace) -> dict[str, Any]:
    """Return the report of all runs, and print a table for each of what grows.

    Raises:
        InputError: if the detector cannot be used, or has fewer networks than `--members` asks for.
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
    machine = describe_machine(networks[0])
    growth = time_growth(detector, members, options)
    for factor, rows in growth.items():
        print(f"\n{format_growth(factor, rows)}")
    return machine | {"runs": options.repeat, "growth": growth}


def time_growth(detector: Detector, members: Sequence[int], options: Namespace) -> dict[str, Growth]:
    """Return the seconds of all runs, by what grows."""
    networks = networks_of(detector)
    growth: dict[str, Growth] = {}

    def add(factor: str, value: int, label: str, **stages: Callable[[], Any]) -> None:
        seconds = {
            stage: time_runs(function, options.repeat, networks[0].device, warm_up=WARM_UP_RUNS)
            for stage, function in stages.items()
        }
        growth.setdefault(factor, []).append({"value": value, "label": label, "seconds": seconds})

    for side in options.sides:
        image = mosaic(side)
        score = partial(detector.score, [image], [detector.propose(image)])
        add("pixels", side**2, f"{side}x{side}", propose=partial(detector.propose, image), score=score)
    for count in options.regions:
        image, boxes = random_image(count)
        add("regions", count, str(count), score=partial(score_regions, Cascade(networks[-1:]), [image], [boxes]))
    image, boxes = random_image(REGIONS)
    for count in members:
        add("members", count, str(count), score=partial(score_regions, Cascade(networks[:count]), [image], [boxes]))
    network_options = build_network_parser()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        for count in options.classes:
            (path,) = save_networks(Path(folder), network_options.parse_object(NETWORK | {"classes": count}))
            classify = RegionClassifier(path, device=options.device)
            single = Detector(detector.propose, classify, score_threshold=0.005)
            suppress = partial(single.suppress, boxes, classify([image], [boxes])[0], image.shape[:2])
            add("classes", count, str(count), score=partial(classify, [image], [boxes]), suppress=suppress)
    return growth


def format_growth(factor: str, rows: Growth) -> str:
    """Return a table of the median seconds of each stage, and their ratios to those of the first row."""
    stages = list(rows[0]["seconds"])
    table = [[factor, *(cell for stage in stages for cell in (stage, ""))]]
    for row in rows:
        table.append([row["label"]])
        for stage in stages:
            median, first = (statistics.median(measured["seconds"][stage]) for measured in (row, rows[0]))
            table[-1] += [f"{median:.3f}s", f"{median / first:.1f}x"]
    return format_table(table)
