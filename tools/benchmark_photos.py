"""How long a detector takes on photos, stage by stage.

python -m tools.benchmark photos photo.jpg --repeat 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from classifier.region_classifier import RegionClassifier
from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import read_image

COLD_COMMAND = "import sys; from detection.cli import main; sys.exit(main(sys.argv[1:]))"


def build_parser() -> argparse.ArgumentParser:
    """The options of the tool."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark photos", description="Time a detector stage by stage."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--config", help="YAML file of a detector; default: the shipped detector")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--repeat", type=int, default=5, help="measured runs of each image, after one that is not")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table for each image."""
    options = build_parser().parse_args(arguments)
    try:
        detector = load_detector(options.config, options.device)
        print(f"{torch.get_num_threads()} threads, device {_classifier(detector).device}, PyTorch {torch.__version__}")
        for path in options.images:
            time_stages(detector, path)  # the first run of a shape pays for kernels and memory
            runs = [time_stages(detector, path) for _ in range(options.repeat)]
            cold = [time_cold(path, options) for _ in range(options.repeat)]
            print(format_table(path, runs, cold))
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def time_stages(detector: Detector, path: str) -> dict[str, float]:
    """Seconds of each stage on one image."""
    seconds: dict[str, float] = {}
    classify = _classifier(detector)

    def timed(stage: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        if classify.device.type == "cuda":
            torch.cuda.synchronize(classify.device)
        seconds[stage] = time.perf_counter() - start
        return result

    image = timed("read", lambda: read_image(path))
    proposals = timed("propose", lambda: detector.propose(image))
    regions = timed("warp", lambda: classify.warp(image, proposals.boxes))
    scores = timed("classify", lambda: classify.to_scores(proposals.boxes, classify.outputs(regions), image.shape[:2]))
    timed("suppress", lambda: detector.suppress(proposals.boxes, scores))
    return seconds


def time_cold(path: str, options: argparse.Namespace) -> float:
    """Seconds of the whole command `detect` in a new process, without writing a picture."""
    chosen = [f"--{name}={value}" for name in ("config", "device") if (value := getattr(options, name)) is not None]
    command = [sys.executable, "-c", COLD_COMMAND, path, "--no-image", "--quiet", *chosen]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def format_table(path: str, runs: list[dict[str, float]], cold: list[float]) -> str:
    """Median, least and most seconds of each stage, and its share of the warm total."""
    totals = [sum(run.values()) for run in runs]
    rows = {stage: [run[stage] for run in runs] for stage in runs[0]} | {"warm": totals, "cold": cold}
    lines = [f"{path}, {len(runs)} runs", f"  {'stage':10} {'median':>8} {'min':>8} {'max':>8}  share"]
    for stage, seconds in rows.items():
        median = statistics.median(seconds)
        share = f"{median / statistics.median(totals):6.1%}" if stage in runs[0] else ""
        lines.append(f"  {stage:10} {median:7.3f}s {min(seconds):7.3f}s {max(seconds):7.3f}s {share}")
    return "\n".join(lines)


def _classifier(detector: Detector) -> RegionClassifier:
    if not isinstance(detector.classify, RegionClassifier):
        raise InputError(f"expected a detector with a RegionClassifier, got {type(detector.classify).__name__}")
    return detector.classify
