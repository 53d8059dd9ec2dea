"""The action `score`: score the detections in a file, by any rule.

detect-evaluate score --rule voc2007 --ground-truth VOCdevkit --split test --detections results/ --json FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.coco_rule import LOOPS
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.formats.detections import read_detections
from detection.runtime.parallel.ordered_map import available_cores
from detection.runtime.second_process import compiled_process
from detection.structures.split_columns import select_images
from tools.command.option_parser import OptionParser
from tools.command.options import Resamples, evenly_spaced
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.input import (
    SPLIT,
    add_scored_options,
    default_rule,
    parse,
    print_warnings,
    read_ground_truth,
)
from tools.report.gallery import image_finder
from tools.report.json_values import write_json
from tools.report.page import write_page
from tools.report.report_text import format_report
from tools.report.score_report import build_report


def build_parser() -> OptionParser:
    """Return the parser of the action's options."""
    parser = OptionParser(prog="detect-evaluate score", description="Score the detections in a file.")
    add_scored_options(parser)
    add_output_options(parser, "json", "html")
    parser.add_argument("--images", type=str | None, help="folder of the images that --html shows; default: only boxes")
    parser.add_argument("--resamples", type=Resamples, default=RESAMPLES, help="bootstrap resamples; 0 for none")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Score the detections, print the report, and write it.

    Raises:
        InputError: naming the file and line of the input that cannot be scored.
    """
    parser = build_parser()
    settings = parse(parser, arguments)
    json_file, html_file = prepare_outputs(parser, settings, "json", "html")
    if settings.images is not None and html_file is None:
        raise InputError("--images: expected --html too, because only the page shows images")
    if settings.images is not None and not Path(settings.images).is_dir():
        raise InputError(f"{settings.images}: expected a folder of images")
    if settings.dataset is None and settings.split != SPLIT:
        raise InputError(
            f"--split: expected a data set's folder as --ground-truth, got a file: {settings.ground_truth}"
        )
    metrics, warnings = score_settings(parser, settings)
    report = build_report(metrics, resamples=settings.resamples, warnings=warnings)
    report["source"] = {name: str(Path(settings[name]).absolute()) for name in ("ground_truth", "detections")}
    print(format_report(report))
    write_json(json_file, report)
    if html_file is not None:
        write_page(html_file, report, metrics, image_finder(settings.images, metrics.objects.index))


def score_settings(
    parser: ArgumentParser, settings: Namespace, *, name: str = "detect-evaluate", limit: int | None = None
) -> tuple[DetectionMetrics, list[str]]:
    """Score the detections that the options name; return the score and warnings about implausible input.

    Args:
        parser: it instantiates the reader of the ground truth.
        settings: the options of `add_scored_options`.
        name: the command that prints the warnings.
        limit: the largest number of images; the same ones are taken as by `detect-evaluate run --limit`.

    Raises:
        InputError: naming the file and line of the input that cannot be scored.
    """
    dataset = parser.instantiate(settings).dataset
    is_coco = (settings.rule or default_rule(dataset)) == "coco"
    # Numba takes as long to import, with its machine code, as the files take to read.
    with compiled_process([LOOPS]) if is_coco and available_cores() > 1 else nullcontext():
        truth = read_ground_truth(settings, dataset)
        objects = truth.objects
        if limit is not None:
            objects = select_images(objects, np.array(evenly_spaced(range(len(objects.index.image_ids)), limit)))
        detections = read_detections(Path(settings.detections), objects, any_score=settings.any_score)
        warnings = print_warnings(name, objects, detections)
        return score(objects, detections, truth.rule, blacklist=truth.blacklist), warnings
