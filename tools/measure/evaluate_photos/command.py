r"""The command `detect-evaluate-photos`: how often is what a photo shows among its best few detections?

detect-evaluate-photos --config tiny_imagenet_detector.yaml --dataset detection.datasets.COCO --data FOLDER \
    --split val2017 --classes coco_to_tiny_imagenet.tsv --list --sheet sheet.png

The photos may be annotated with other categories than the detector's classes. --classes names a file that says which
classes are kinds of which category; without it a category stands for the class of the same name.

Each photo is asked two questions, as far as the file has classes for the categories in question:

- the largest object: is a class of its category among the --best detections of the highest scores?
- any object: is a class of the category of any object whose box is larger than 32x32 px among them?

Objects that the data set marks as ignored (COCO's crowds) are left out. No score threshold applies, and a class may
take several of the best places with boxes in different places. The place of the box makes no difference to "right";
"placed" counts only detections that also overlap an object of the category by an IoU of 0.5 or more, and "shown" counts
those that reach the score threshold of the detector. Detections are kept, so that the command can be run again with
other options.

If the networks have learned from some of the photos, measure them on the others: --every 2 --part 1 takes the second
photo of the split, the fourth, and so on, which is fold 1 of 2 of `classifier.training.samples.photographs`.

--sheet draws photos with their best detections, right answers on the left and wrong answers on the right. `answers`
asks the questions, `report` makes the tables, and `sheet` draws.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.configuration import DETECTOR_FILE, find_config, load_detector, read_yaml
from detection.datasets.category_kinds import KindsByCategory, read_kinds, same_names
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.ground_truth import coco_ground_truth
from detection.formats.run_results import NAME, ResultsWriter
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from tools.command.entry_point import command
from tools.command.image_proposals import ImageProposals, cache_settings, relevant_settings
from tools.command.option_parser import OptionParser
from tools.command.options import Workers, add_detector_options, add_limit_option, add_split_options, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.kept_results import add_results, missing_records, named_folder
from tools.measure.evaluate.measured_split import Split, read_split
from tools.measure.evaluate_photos.answers import answer_all, largest_category, visible_categories
from tools.measure.evaluate_photos.report import PhotosReport, as_json, format_misses, format_report
from tools.measure.evaluate_photos.sheet import write_sheet
from tools.report.json_values import write_json

LOWEST_SCORE = 1e-4
"""The score threshold in place of the detector's. At 0 all classes of hundreds of regions would pass, and suppressing
them would take seconds for each photo. The best detections do not depend on it."""


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-evaluate-photos", description="Measure how often a photo's content is named.")
    add_detector_options(parser)
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--every", type=PositiveInt, default=1, help="take every N-th photo")
    parser.add_argument("--part", type=NonNegativeInt, default=0, help="number of the first photo to take, from 0")
    parser.add_argument("--classes", type=str | None, help="file of categories and classes; default: the same names")
    parser.add_argument("--best", type=PositiveInt, default=3, help="number of detections that count, best first")
    parser.add_argument("--list", action="store_true", help="print the photos without a right answer")
    add_output_options(parser, "json", "sheet")
    parser.add_argument("--sheet_rows", type=whole(1, 1_000), default=4, help="number of rows of --sheet")
    parser.add_argument("--workers", type=Workers, default=1, help="threads that read images and propose")
    parser.add_argument("--output", type=str, default="runs/photos", help="folder to keep the detections in")
    return parser


@command("detect-evaluate-photos")
def main(arguments: Sequence[str]) -> None:
    """Detect in the photos that have no results yet, count, print the tables, and write them."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    json_file, sheet_file = prepare_outputs(parser, settings, "json", "sheet")
    report = evaluate(settings, read_split(settings, parser.instantiate(settings).dataset))
    print(format_report(report))
    if settings.list:
        print(f"\n{format_misses(report)}")
    write_json(json_file, as_json(report))
    if sheet_file is not None:
        write_sheet(sheet_file, report, rows=settings.sheet_rows)


def evaluate(settings: Namespace, split: Split) -> PhotosReport:
    """Ask both questions of the photos, and return the answers.

    Raises:
        InputError: naming what cannot be read, written or used, or if no photo shows a category that has classes.
    """
    if settings.part >= settings.every:
        raise InputError(f"part: expected a number below --every {settings.every}, got {settings.part}")
    detector = load_detector(settings.config, settings.device)
    shown_from = detector.score_threshold
    kinds = find_kinds(settings, split, detector)
    records = split.records[settings.part :: settings.every]
    asked = [item for item in records if kinds.keys() & {*largest_category(item), *visible_categories(item)}]
    if not asked:
        source = settings.classes or "the detector"
        raise InputError(f"{settings.data}: expected photos of objects that have classes in {source}, got none")
    detector.score_threshold, detector.max_detections = LOWEST_SCORE, max(settings.best, detector.max_detections)
    detections = detect(settings, split, detector, asked)
    best = {image_id: photo_detections[: settings.best] for image_id, photo_detections in detections.items()}
    return PhotosReport(
        largest=answer_all(largest_category, asked, best, kinds),
        any=answer_all(visible_categories, asked, best, kinds),
        categories=split.dataset.class_names,
        kinds=kinds,
        best=settings.best,
        shown_from=shown_from,
    )


def find_kinds(settings: Namespace, split: Split, detector: Detector) -> KindsByCategory:
    """Return the classes of the detector that the categories of the data set stand for.

    Raises:
        InputError: naming the file, if it cannot be used, or if no category has the name of a class.
    """
    categories = split.dataset.class_names
    if settings.classes is not None:
        return read_kinds(find_config(settings.classes), categories, detector.class_names)
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
    """Return the detections in each photo by its id; those that an earlier run has kept are not made again.

    Raises:
        InputError: naming what cannot be read or written.
    """
    made_with = {
        "dataset": cache_settings(settings, None)["dataset"],
        "split": settings.split,
        "ground_truth_crc32": zlib.crc32(coco_ground_truth(split.objects)),
        "detector": relevant_settings(read_yaml(find_config(settings.config, DETECTOR_FILE))),
        "score_threshold": detector.score_threshold,
        "max_detections": detector.max_detections,
    }
    writer = ResultsWriter(named_folder(Path(settings.output), made_with) / NAME, made_with, detector.class_names)
    missing = missing_records(writer, records)
    if missing:
        add_results(writer, detector, missing, ImageProposals(detector.propose), workers=settings.workers)
    return {image_id: result.detections for image_id, result in writer.images.items()}
