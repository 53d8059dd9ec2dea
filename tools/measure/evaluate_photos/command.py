r"""Measure how often a detector names what a photo shows among its best few detections.

python -m tools.evaluate_photos --dataset detection.datasets.COCO --data FOLDER --split val2017 \
    --classes configs/classes/coco_to_tiny_imagenet.tsv --list --sheet sheet.png

The photos may be annotated with other categories than the detector's classes; --classes names a file that says which
classes are kinds of which category. Without it a category stands for the class of the same name.

A photo is asked two questions, and each counts where the file has classes for what is asked for:

- the largest object: the one with the largest box; is a class of its category among the --best highest scores?
- any object: all objects whose boxes are larger than 32x32 px; is a class of any of their categories there?

Objects that the data set marks as ignored (COCO's crowds) are never asked for. No score threshold holds, and a class
may take several of the best places with boxes apart; where its box lies makes no difference to "right". "placed" counts
only detections that also overlap an object of the category by an IoU of 0.5 or more, and "shown" those that reach the
score threshold of the detector. What was detected is kept, so that the command can be given again with other questions.

Networks that have learned from some of the photos (photographs) are to be measured on the others: --every 2
--part 1 takes the second photo of the split, the fourth, and so on, which is its fold 1 of 2.

--sheet draws photos with their best detections: the surest of those found right on the left, the others on the right.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.configuration import DEFAULT_CONFIG, load_detector, read_yaml
from detection.datasets.category_kinds import KindsByCategory, read_kinds, same_names
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.ground_truth import coco_ground_truth
from detection.formats.run_results import NAME, ResultsWriter
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from tools.command.image_proposals import ImageProposals, cache_settings
from tools.command.output_file import prepare_output
from tools.command.split_options import add_limit_option, add_split_options
from tools.measure.evaluate.run import Split, add_results, read_split, what_matters
from tools.measure.evaluate_photos.answers import answer_all, largest_category, visible_categories
from tools.measure.evaluate_photos.report import PhotosReport, as_json, format_misses, format_report
from tools.measure.evaluate_photos.sheet import write_sheet
from tools.report.score_report import write_json

LOWEST_SCORE = 1e-4
"""In place of the detector's threshold. All of hundreds of regions have classes above it, and suppressing the rest
would take seconds a photo; which detections are the best does not depend on it."""


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.evaluate_photos", description="Is what a photo shows found in it?")
    parser.add_argument("--config", type=str, default=str(DEFAULT_CONFIG), help="YAML file of a detector")
    parser.add_argument("--device", type=str | None, default=None, help="default: a GPU if there is one")
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--every", type=PositiveInt, default=1, help="take every so many-th of the photos")
    parser.add_argument("--part", type=NonNegativeInt, default=0, help="from this one on, counted from 0")
    parser.add_argument(
        "--classes", type=str | None, default=None, help="categories and their classes; default: those of the same name"
    )
    parser.add_argument("--best", type=PositiveInt, default=3, help="detections that count, of the highest scores")
    parser.add_argument("--list", action="store_true", help="print the photos whose class was not found, and what was")
    parser.add_argument("--json", type=str | None, default=None, help="file for all figures and each photo")
    parser.add_argument("--sheet", type=str | None, default=None, help="PNG file for photos found right and wrong")
    parser.add_argument("--sheet_rows", type=PositiveInt, default=4, help="photos found right and wrong in it")
    parser.add_argument("--workers", type=NonNegativeInt, default=1, help="threads that read and propose")
    parser.add_argument("--output", type=str, default="runs/photos", help="folder to keep what was detected in")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Detect where that is still to do, count, print, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        json_file = prepare_output(settings.json) if settings.json is not None else None
        sheet_file = prepare_output(settings.sheet, suffix=".png") if settings.sheet is not None else None
        report = evaluate(settings, read_split(settings, parser.instantiate(settings).dataset))
        print(format_report(report))
        if settings.list:
            print(f"\n{format_misses(report)}")
        write_json(json_file, as_json(report))
        if sheet_file is not None:
            write_sheet(sheet_file, report, rows=settings.sheet_rows)
    except InputError as error:
        print(f"evaluate_photos: {error.line}", file=sys.stderr)
        return 1
    return 0


def evaluate(settings: Namespace, split: Split) -> PhotosReport:
    """The answers to both questions.

    Raises:
        InputError: naming what cannot be read, written or used, or if no photo is asked anything.
    """
    if settings.part >= settings.every:
        raise InputError(f"part: expected a number below --every {settings.every}, got {settings.part}")
    detector = load_detector(settings.config, settings.device)
    shown_from = detector.score_threshold
    kinds = find_kinds(settings, split, detector)
    records = [entry.record for entry in split.chosen[settings.part :: settings.every]]
    asked = [one for one in records if kinds.keys() & {*largest_category(one), *visible_categories(one)}]
    if not asked:
        source = settings.classes or "the detector"
        raise InputError(f"{settings.data}: expected photos of objects that have classes in {source}, got none")
    detector.score_threshold, detector.max_detections = LOWEST_SCORE, max(settings.best, detector.max_detections)
    found = detect(settings, split, detector, asked)
    best = {image_id: detections[: settings.best] for image_id, detections in found.items()}
    return PhotosReport(
        largest=answer_all(largest_category, asked, best, kinds),
        any=answer_all(visible_categories, asked, best, kinds),
        categories=split.dataset.class_names,
        kinds=kinds,
        best=settings.best,
        shown_from=shown_from,
    )


def find_kinds(settings: Namespace, split: Split, detector: Detector) -> KindsByCategory:
    """The classes of the detector that the categories of the data set stand for.

    Raises:
        InputError: naming the file, if it cannot be used, or if no name is that of a class.
    """
    categories = split.dataset.class_names
    if settings.classes is not None:
        return read_kinds(Path(settings.classes), categories, detector.class_names)
    kinds = same_names(categories, detector.class_names)
    if not kinds:
        raise InputError(
            f"{settings.data}: expected categories with the names of the detector's classes, got none; "
            "name a file of them with --classes"
        )
    return kinds


def detect(
    settings: Namespace, split: Split, detector: Detector, records: Sequence[GroundTruth]
) -> dict[str, Detections]:
    """The detections in each of the photos by its id; those that an earlier run has kept are not made again.

    Raises:
        InputError: naming what cannot be read or written.
    """
    made_with = {
        "dataset": cache_settings(settings, None)["dataset"],
        "split": settings.split,
        "ground_truth_crc32": zlib.crc32(coco_ground_truth(split.objects)),
        "detector": what_matters(read_yaml(Path(settings.config))),
        "score_threshold": detector.score_threshold,
        "max_detections": detector.max_detections,
    }
    name = f"{settings.split}-{zlib.crc32(json.dumps(made_with, sort_keys=True, default=str).encode()):08x}"
    writer = ResultsWriter(Path(settings.output) / name / NAME, made_with, detector.class_names)
    missing = [record for record in records if record.image_id not in writer.images]
    if missing:
        add_results(writer, detector, missing, ImageProposals(detector.propose), workers=settings.workers)
    return {name: result.detections for name, result in writer.images.items()}
