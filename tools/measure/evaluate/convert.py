"""Write detections in another format.

python -m tools.evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from detection.formats.detections import write_detections
from tools.measure.evaluate.input import add_ground_truth_options, parse, read_ground_truth, read_split_detections
from tools.measure.evaluate.score import RuleName


def build_parser() -> ArgumentParser:
    """The options of the action."""
    parser = ArgumentParser(prog="python -m tools.evaluate convert", description="Write detections in another format.")
    parser.add_argument(
        "--rule", type=RuleName | None, default=None, help="tells how to read a folder, as --dataset does"
    )
    add_ground_truth_options(parser)
    parser.add_argument("--detections", type=str, required=True, help="in any format that can be scored")
    parser.add_argument(
        "--to", type=Literal["ilsvrc", "coco", "voc", "detect"], required=True, help="detect: as detect --json"
    )
    parser.add_argument("--output", type=str, required=True, help="the file; for voc a folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, check and write; returns the exit status; raises `InputError`."""
    parser = build_parser()
    settings = parse(parser, arguments)
    truth = read_ground_truth(settings, parser.instantiate(settings).dataset)
    detections, _ = read_split_detections(settings, truth)
    write_detections(Path(settings.output), detections, file_format=settings.to, split=settings.split)
    print(f"{settings.output}: {len(detections)} detections")
    return 0
