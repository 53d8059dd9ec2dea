"""Measure speed against named baselines in the same run.

detect-benchmark photos photo.jpg --repeat 5
detect-benchmark proposals
detect-benchmark training --config tiny_imagenet.yaml --data FOLDER
detect-benchmark evaluation
detect-benchmark scoring --device cuda
detect-benchmark growth
detect-benchmark own-classes DATA --time 10m
detect-benchmark dataset --input photos/
detect-benchmark service
detect-benchmark tiles --data FOLDER
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.command.entry_point import command, run_action

NAMES = (
    "photos",
    "proposals",
    "scoring",
    "growth",
    "training",
    "own-classes",
    "evaluation",
    "dataset",
    "service",
    "tiles",
)

BENCHMARKS = {name: f"tools.measure.benchmark.{name.replace('-', '_')}" for name in NAMES}


@command("detect-benchmark")
def main(arguments: Sequence[str]) -> int | None:
    """Run the benchmark that the first argument names."""
    return run_action("detect-benchmark", BENCHMARKS, arguments)
