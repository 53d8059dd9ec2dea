"""The benchmark of photos: a detector stage by stage, in a new process, over a folder, and against baselines.

detect-benchmark photos photo.jpg --repeat 5
detect-benchmark photos photo.jpg --against exported other.yaml
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from jsonargparse import Namespace

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from classifier.scoring.input_format import InputFormat
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.warp.crop import ImageRegions
from detection.configuration import DETECTOR_FILE, load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import read_image
from detection.runtime.parallel import many_images
from detection.runtime.weights_files.engine import Cpu
from detection.sources.picture import file_picture
from detection.structures.arrays import AnyArray
from tools.command.option_parser import OptionParser
from tools.command.options import Count, add_detector_options, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.baselines.detectors import BASELINES, build_baseline
from tools.measure.benchmark.timing import HEADER, format_row, time_run, time_runs
from tools.report.json_values import write_json

ENDLESS = "while True: pass"
"""A program that uses a core all the time."""

COLD_COMMAND = "from detection.cli.command import run; run()"

ONE_BY_ONE, SHARED = "in turn", "shared"
"""The ways through a folder: one image after the other, and as `detect` does it."""

WARP = "of it warp"
"""The part of scoring that makes the input of the networks."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark photos", description="Time a detector on photos.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="photos to detect in")
    add_detector_options(parser)
    parser.add_argument(
        "--against",
        nargs="*",
        default=[],
        metavar="CONFIG",
        help="other detectors, such as folders of detect-export, which are timed in turn with the first",
    )
    parser.add_argument("--repeat", type=Count, default=5, help="measured runs of each image, after a warm-up run")
    parser.add_argument("--busy", action="store_true", help="also time photos while a program runs on each core")
    baselines = "other detectors to time on the same photos"
    parser.add_argument("--baselines", nargs="*", choices=BASELINES, default=list(BASELINES), help=baselines)
    parser.add_argument("--sampled", type=Count, default=50, help="number of regions that the plain loop times")
    parser.add_argument(
        "--folder", type=whole(0, 1_000_000), default=8, help="number of photos in the folder, 0 for no folder"
    )
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table for each image and for the folder."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    detector = load_detector(options.config, options.device)
    networks = networks_of(detector)
    report: dict[str, Any] = describe_machine(networks[0]) | {"photos": [], "in_turn": [], "folder": {}}
    for path in options.images:
        report["photos"].append(time_photo(path, detector, networks, options))
        print(format_photo(report["photos"][-1]))
        if options.against:
            report["in_turn"].append(time_in_turn(path, options))
            print(format_in_turn(report["in_turn"][-1]))
    if options.folder:
        report["folder"] = time_folders(detector, options)
        print(format_folder(report["folder"], options.folder))
    write_json(json_file, report)


def describe_machine(network: LoadedNetwork) -> dict[str, Any]:
    """Print and return what the times depend on besides the detector."""
    engine, package = ("ONNX Runtime", "onnxruntime") if isinstance(network.device, Cpu) else ("PyTorch", "torch")
    threads, device, installed = torch.get_num_threads(), str(network.device), version(package)
    print(f"{threads} threads, device {device}, {engine} {installed}")
    return {"threads": threads, "device": device, package: installed}


def networks_of(detector: Detector) -> Sequence[LoadedNetwork]:
    """Return the networks that score regions.

    Raises:
        InputError: if the classifier is neither a `RegionClassifier` nor an `Ensemble`.
    """
    match detector.classify:
        case RegionClassifier() as network:
            return [network]
        case Ensemble() as ensemble:
            return ensemble.networks
    name = type(detector.classify).__name__
    raise InputError(f"expected a detector with a RegionClassifier or an Ensemble, got {name}")


def time_photo(path: str, detector: Detector, networks: Sequence[LoadedNetwork], options: Namespace) -> dict[str, Any]:
    """Return the seconds of each run for a photo: by stage, in a new process, and for each baseline."""
    runs = [time_stages(detector, networks, path) for _ in range(1 + options.repeat)][1:]
    baselines = {}
    for name in options.baselines:
        baseline = build_baseline(name, detector, networks, sampled=options.sampled)
        baselines[name] = [baseline(path) for _ in range(1 + options.repeat)][1:]
    image = read_image(path)
    proposals = detector.propose(image).boxes
    return {
        "path": path,
        "size": image.shape[:2],
        "proposals": len(proposals),
        "regions": len(detector.classify_regions([image], [proposals])[0][0]),
        "sampled": options.sampled,
        "stages": {stage: [run[stage] for run in runs] for stage in runs[0]},
        "warm": [sum(run.values()) - run[WARP] for run in runs],
        "cold": time_runs(partial(detect_cold, path, options.config, options.device), options.repeat, warm_up=0),
        "busy": time_beside_programs(partial(detector, path), options.repeat) if options.busy else [],
        "baselines": baselines,
    }


def detect_cold(path: str, config: str | None, device: str | None) -> None:
    """Detect in a photo by a new process."""
    chosen = [f"--{name}={value}" for name, value in (("config", config), ("device", device)) if value is not None]
    subprocess.run([sys.executable, "-c", COLD_COMMAND, path, "--no-image", "--quiet", *chosen], check=True)


def time_in_turn(path: str, options: Namespace) -> dict[str, dict[str, list[float]]]:
    """Return the warm and cold seconds of several detectors for a photo, by their names; they take turns."""
    configs = {config or DETECTOR_FILE: config for config in (options.config, *options.against)}
    detectors = {name: load_detector(config, options.device) for name, config in configs.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {"warm": [], "cold": []} for name in configs}
    for detector in detectors.values():
        detector(path)
    for _ in range(options.repeat):
        for name, config in configs.items():
            seconds[name]["warm"].append(time_run(partial(detectors[name], path))[0])
            seconds[name]["cold"].append(time_run(partial(detect_cold, path, config, options.device))[0])
    return seconds


def format_in_turn(report: dict[str, dict[str, list[float]]]) -> str:
    """Return a table of warm and cold times of detectors, with the ratio of each median to that of the first."""
    lines = ["detectors in turn"]
    first = next(iter(report.values()))
    for name, ways in report.items():
        lines.append(f"  {name}")
        for way, seconds in ways.items():
            ratio = statistics.median(seconds) / statistics.median(first[way])
            lines.append(f"{format_row(way, seconds)} {ratio:6.2f}x")
    return "\n".join(lines)


def time_beside_programs(function: Callable[[], Any], repeat: int) -> list[float]:
    """Return the seconds of each run of a function while another program computes without end on each core."""
    with ExitStack() as programs:
        for _ in range(os.cpu_count() or 1):
            program = programs.enter_context(subprocess.Popen([sys.executable, "-c", ENDLESS]))
            programs.callback(program.kill)  # which comes first at the end; then the context waits for the program
        return time_runs(function, repeat)


def time_stages(detector: Detector, networks: Sequence[LoadedNetwork], path: str) -> dict[str, float]:
    """Return the seconds of each stage on one image, and those of warping, which is a part of scoring."""
    seconds: dict[str, float] = {}
    device = networks[0].device

    def timed(stage: str, function: Callable[[], Any]) -> Any:
        seconds[stage], result = time_run(function, device)
        return result

    image = timed("read", lambda: read_image(path))
    boxes = timed("propose", lambda: detector.propose(image)).boxes
    with timed_warps(type(networks[0].input_format), device) as warps:
        (boxes,), (scores,) = timed("score", lambda: detector.classify_regions([image], [boxes]))
    detections = timed("suppress", lambda: detector.suppress(boxes, scores, image.shape[:2]))
    if detector.refine_share or detector.rescore_share:
        timed("refine", lambda: detector.refine([image], [detections]))
    return seconds | {WARP: sum(warps)}


@contextmanager
def timed_warps(kind: type[InputFormat], device: torch.device) -> Iterator[list[float]]:
    """Yield a list that receives the seconds of every call of `warp` of a kind of formats in the block.

    In a cascade only the regions that go on are warped for the next network, so no call outside would warp the same.
    """
    warp, seconds = kind.warp, []

    def timed(self: InputFormat, group: Sequence[ImageRegions]) -> AnyArray:
        elapsed, warped = time_run(partial(warp, self, group), device)
        seconds.append(elapsed)
        return warped

    with mock.patch.object(kind, "warp", timed):
        yield seconds


def time_folders(detector: Detector, options: Namespace) -> dict[str, list[float]]:
    """Return the seconds for all photos of a folder, one after the other and as `detect` does it, in turn."""
    paths = [Path(path) for path in islice(cycle(options.images), options.folder)]
    ways = {ONE_BY_ONE: many_images.ONE_BY_ONE, SHARED: many_images.find_parallelism(len(paths))}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeat):
        for name, way in ways.items():
            seconds[name].append(time_run(partial(_detect_in_folder, paths, detector, way))[0])
    return seconds


def _detect_in_folder(paths: Sequence[Path], detector: Detector, way: many_images.Parallelism) -> None:
    for result in many_images.detect_in_images(map(file_picture, paths), detector, way):
        if result.error is not None:
            raise result.error


def format_photo(report: dict[str, Any]) -> str:
    """Return a table of the stages with their shares, and of all totals with their ratios to the warm total."""
    total = statistics.median(report["warm"])
    height, width = report["size"]
    counts = f"{report['proposals']} proposals, {report['regions']} of them scored"
    title = f"{report['path']}, {width}x{height} px, {counts}, {len(report['warm'])} runs"
    lines = [title, HEADER]
    for stage, seconds in report["stages"].items():
        lines.append(f"{format_row(stage, seconds)} {statistics.median(seconds) / total:7.1%}")
    totals = {name: report[name] for name in ("warm", "busy", "cold") if report[name]} | report["baselines"]
    for name, seconds in totals.items():
        note = f", scaled from {report['sampled']} regions" if name == "plain" else ""
        lines.append(f"{format_row(name, seconds)} {statistics.median(seconds) / total:6.1f}x{note}")
    return "\n".join(lines)


def format_folder(report: dict[str, list[float]], count: int) -> str:
    """Return a table of the photos per second, one after the other and shared."""
    lines = [f"folder of {count} photos"]
    medians = {name: statistics.median(seconds) for name, seconds in report.items()}
    for name, median in medians.items():
        speed = f"{count / median:6.2f} photos/s {medians[ONE_BY_ONE] / median:5.2f}x"
        lines.append(f"{format_row(name, report[name])} {speed}")
    return "\n".join(lines)
