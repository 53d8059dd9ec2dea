"""How long a detector takes on photos: stage by stage, cold, over a folder, and against named baselines.

detect-benchmark photos photo.jpg --repeat 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.warp.crop import upload
from detection.cli import many_images
from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import read_image
from detection.runtime.atomic_write import atomic_path
from tools.command.output_file import prepare_output, prepare_plot
from tools.measure.benchmark.baselines import BASELINES, build_baseline
from tools.report.json_values import write_json

COLD_COMMAND = "from detection.cli.command import run; run()"

ONE_BY_ONE, SHARED = "in turn", "shared"
"""A folder's images one after the other, and as `detect` does them."""

PART = "of it warp"
"""Measured by itself: the crops that scoring makes, of all networks."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the tool."""
    parser = argparse.ArgumentParser(prog="detect-benchmark photos", description="Time a detector on photos.")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--config", help="YAML file of a detector; default: the shipped detector")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--repeat", type=int, default=5, help="measured runs of each image, after one that is not")
    parser.add_argument("--baselines", nargs="*", choices=BASELINES, default=list(BASELINES))
    parser.add_argument("--sampled", type=int, default=50, help="regions of the plain loop that are timed")
    parser.add_argument("--folder", type=int, default=8, help="photos of the folder, 0 for none")
    parser.add_argument("--json", help="file for all seconds")
    parser.add_argument("--plot", help="PNG file for a bar chart")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, print a table for each image and the folder."""
    options = build_parser().parse_args(arguments)
    json_file = prepare_output(options.json) if options.json is not None else None
    plot_file = prepare_plot(options.plot) if options.plot is not None else None
    detector = load_detector(options.config, options.device)
    networks = networks_of(detector)
    where = {"threads": torch.get_num_threads(), "device": str(networks[0].device), "torch": torch.__version__}
    print(f"{where['threads']} threads, device {where['device']}, PyTorch {where['torch']}")
    report: dict[str, Any] = where | {"photos": [], "folder": {}}
    for path in options.images:
        report["photos"].append(of_photo := time_photo(path, detector, networks, options))
        print(format_photo(of_photo))
    if options.folder:
        report["folder"] = time_folders(detector, options)
        print(format_folder(report["folder"], options.folder))
    write_json(json_file, report)
    if plot_file is not None:
        from tools.measure.benchmark.plots import draw_photos  # noqa: PLC0415  matplotlib is slow to import, and optional

        with atomic_path(plot_file) as temporary:
            draw_photos(report["photos"]).savefig(temporary)


def networks_of(detector: Detector) -> Sequence[LoadedNetwork]:
    """The networks that score regions.

    Raises:
        InputError: if the classifier is of a kind that does not tell.
    """
    match detector.classify:
        case RegionClassifier() as network:
            return [network]
        case Ensemble() as ensemble:
            return ensemble.networks
    name = type(detector.classify).__name__
    raise InputError(f"expected a detector with a RegionClassifier or an Ensemble, got {name}")


def time_photo(
    path: str, detector: Detector, networks: Sequence[LoadedNetwork], options: argparse.Namespace
) -> dict[str, Any]:
    """Seconds of each run: of the stages, of a new process, of the baselines. The first run of each is not measured."""
    runs = [time_stages(detector, networks, path) for _ in range(1 + options.repeat)][1:]
    baselines = {}
    for name in options.baselines:
        baseline = build_baseline(name, detector, networks, sampled=options.sampled)
        baselines[name] = [baseline(path) for _ in range(1 + options.repeat)][1:]
    image = read_image(path)
    return {
        "path": path,
        "size": image.shape[:2],
        "regions": len(detector.propose(image)),
        "sampled": options.sampled,
        "stages": {stage: [run[stage] for run in runs] for stage in runs[0]},
        "warm": [sum(run.values()) - run[PART] for run in runs],
        "cold": [time_cold(path, options) for _ in range(options.repeat)],
        "baselines": baselines,
    }


def time_stages(detector: Detector, networks: Sequence[LoadedNetwork], path: str) -> dict[str, float]:
    """Seconds of each stage on one image, and of warping alone."""
    seconds: dict[str, float] = {}

    def timed(stage: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        if networks[0].device.type == "cuda":
            torch.cuda.synchronize(networks[0].device)
        seconds[stage] = time.perf_counter() - start
        return result

    image = timed("read", lambda: read_image(path))
    boxes = timed("propose", lambda: detector.propose(image)).boxes
    (scores,) = timed("score", lambda: detector.classify([image], [boxes]))
    timed("suppress", lambda: detector.suppress(boxes, scores, image.shape[:2]))
    regions = upload(image, boxes, networks[0].device)
    timed(PART, lambda: [wanted.warp([regions]) for wanted in {network.input_format for network in networks}])
    return seconds


def time_cold(path: str, options: argparse.Namespace) -> float:
    """Seconds of the whole command `detect` in a new process, without writing a picture."""
    chosen = [f"--{name}={value}" for name in ("config", "device") if (value := getattr(options, name)) is not None]
    command = [sys.executable, "-c", COLD_COMMAND, path, "--no-image", "--quiet", *chosen]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def time_folders(detector: Detector, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds for all photos of a folder, one after the other and as `detect` does them."""
    paths = [Path(path) for path in islice(cycle(options.images), options.folder)]
    ways = {ONE_BY_ONE: many_images.ONE_BY_ONE, SHARED: many_images.find_parallelism(len(paths))}
    rounds = [{name: time_folder(detector, paths, one) for name, one in ways.items()} for _ in range(options.repeat)]
    return {name: [seconds[name] for seconds in rounds] for name in ways}


def time_folder(detector: Detector, paths: Sequence[Path], way: many_images.Parallelism) -> float:
    """Seconds for all images, which threads share.

    Raises:
        InputError: what is wrong with one of them.
    """
    start = time.perf_counter()
    for found in many_images.detect_in_images(paths, detector, way):
        if isinstance(found, InputError):
            raise found
    return time.perf_counter() - start


def format_photo(report: dict[str, Any]) -> str:
    """Median, least and most seconds of each stage with its share, and of all with how many times the warm total."""
    stages = dict(report["stages"])
    part = stages.pop(PART)
    totals = report["warm"]
    total = statistics.median(totals)
    height, width = report["size"]
    title = f"{report['path']}, {width}x{height} px, {report['regions']} regions, {len(totals)} runs"
    lines = [title, f"  {'':10} {'median':>8} {'min':>9} {'max':>9}"]
    for stage, seconds in (stages | {PART: part}).items():
        lines.append(f"{_row(stage, seconds)} {statistics.median(seconds) / total:7.1%}")
    for name, seconds in ({"warm": totals, "cold": report["cold"]} | report["baselines"]).items():
        note = f", scaled from {report['sampled']} regions" if name == "plain" else ""
        lines.append(f"{_row(name, seconds)} {statistics.median(seconds) / total:6.1f}x{note}")
    return "\n".join(lines)


def format_folder(report: dict[str, list[float]], count: int) -> str:
    """Photos a second, one after the other and shared."""
    lines = [f"folder of {count} photos"]
    alone = statistics.median(report[ONE_BY_ONE])
    for name, seconds in report.items():
        median = statistics.median(seconds)
        lines.append(f"{_row(name, seconds)} {count / median:6.2f} photos/s {alone / median:5.2f}x")
    return "\n".join(lines)


def _row(name: str, seconds: Sequence[float]) -> str:
    return f"  {name:10} {statistics.median(seconds):7.3f}s {min(seconds):8.3f}s {max(seconds):8.3f}s"
