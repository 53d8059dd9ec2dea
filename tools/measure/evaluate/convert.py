"""The action `convert`: write detections in another format.

detect-evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import Namespace

from detection.cli.records import are_records
from detection.formats.detections import read_detections, write_detections
from detection.formats.voc_results import PREFIX
from tools.command.option_parser import OptionParser
from tools.command.output_file import TEXT, Kind, add_overwrite_option, prepare_output
from tools.measure.evaluate.input import add_scored_options, parse, print_warnings, read_ground_truth

Format = Literal["ilsvrc", "coco", "voc", "detect"]

RECORDS = Kind(lambda beginning, command: are_records(beginning))  # noqa: ARG005
"""Detections as `detect --json` writes them, which `detect` replaces too."""


def build_parser() -> OptionParser:
    """Return the parser of the action's options."""
    parser = OptionParser(prog="detect-evaluate convert", description="Write detections in another format.")
    add_scored_options(parser)
    parser.add_argument("--to", type=Format, required=True, help="format to write; detect is that of detect --json")
    parser.add_argument("--output", type=str, required=True, help="file to write; with --to voc a folder")
    add_overwrite_option(parser)
    return parser


def main(arguments: Sequence[str]) -> None:
    """Read the detections, check them, and write them.

    Raises:
        InputError: naming the file and line of the input that cannot be used, or the file that cannot be written.
    """
    parser = build_parser()
    settings = parse(parser, arguments)
    prepare_conversion(settings, parser.prog)
    truth = read_ground_truth(settings, parser.instantiate(settings).dataset)
    detections = read_detections(Path(settings.detections), truth.objects, any_score=settings.any_score)
    print_warnings("detect-evaluate", truth.objects, detections)
    write_detections(Path(settings.output), detections, file_format=settings.to, split=settings.split)
    print(f"{settings.output}: {len(detections)} detections")


def prepare_conversion(settings: Namespace, command: str) -> None:
    """Check that the file, or the files of VOC, may be written; raises what `prepare_output` raises."""
    folder = Path(settings.output)
    files = sorted(folder.glob(f"{PREFIX}{glob.escape(settings.split)}_*.txt")) if settings.to == "voc" else [folder]
    for file in files:
        own = settings.clone()
        own.output = str(file)
        prepare_output(own, "output", RECORDS if settings.to == "detect" else TEXT, command)
