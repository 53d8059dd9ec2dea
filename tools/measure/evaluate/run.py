"""The action `run`: detect in the images of a split, and score the detections.

detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val
detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val --detector exported

The detections in each image are kept as soon as it is done. If a run was interrupted, the same command goes on where it
stopped; if all detections are there already, it only scores them again. `kept_results` keeps them, and `measured_split`
reads the images and builds the detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jsonargparse import Namespace

from detection.configuration import DETECTOR_FILE, find_config, read_yaml, set_device
from detection.datasets.files.text_file import is_file
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.formats.run_results import ResultsWriter
from detection.structures.split_columns import split_detections
from tools.command.experiment import parse_experiment
from tools.command.option_parser import OptionParser
from tools.command.options import Resamples, add_device_option
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.input import print_warnings
from tools.measure.evaluate.kept_results import complete_results
from tools.measure.evaluate.measured_split import Split, add_measured_split, build_dataset, build_detector, read_split
from tools.report.json_values import write_json
from tools.report.page import write_page
from tools.report.report_text import format_report
from tools.report.score_report import build_report


def build_parser() -> OptionParser:
    """Return the parser of the action's options."""
    parser = OptionParser(prog="detect-evaluate run", description="Measure a detector on a split.")
    add_measured_split(parser)
    add_device_option(parser)
    parser.add_argument("--results", type=str | None, help="folder to keep the detections in; default: below --output")
    add_output_options(parser, "json", "html")
    parser.add_argument("--resamples", type=Resamples, default=RESAMPLES, help="bootstrap resamples; 0 for none")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Detect in the images that have no results yet, score all, print the report, and write it.

    Raises:
        InputError: naming what cannot be read, written or used.
    """
    parser = build_parser()
    require_no_ignored_detector(arguments)
    settings = parse_experiment(parser, arguments)
    if settings.device is not None:
        set_device(settings.detector, settings.device)
    json_file, html_file = prepare_outputs(parser, settings, "json", "html")
    split = read_split(settings, build_dataset(parser, settings))
    writer = complete_results(settings, split, lambda: build_detector(parser, settings, split.dataset))
    print(f"{writer.path.parent}: results of {len(writer.images)} images")
    metrics, report = score_images(settings, writer, split)
    covered = "" if report["coverage"] is None else f", which cover {report['coverage']:.1%} of the objects at IoU 0.5"
    print(f"{report['proposals_per_image']:.1f} proposals an image{covered}")
    print(format_report(report))
    write_json(json_file, report)
    if html_file is not None:
        write_page(html_file, report, metrics, {record.image_id: record.path for record in split.records}.get)


def require_no_ignored_detector(arguments: Sequence[str]) -> None:
    """Check that `--config` is no detector: of its folder only training.yaml would be read, and of its file nothing.

    Raises:
        InputError: naming the folder or file, unless `--detector` says what to measure.
    """
    words = [part for word in arguments for part in word.split("=", 1)]
    for option, value in pairwise(words):
        if option != "--config" or "--detector" in words:
            continue
        path = find_config(value, DETECTOR_FILE)
        if is_file(path) and (path.name == DETECTOR_FILE or {"propose", "classify"} <= read_yaml(path).keys()):
            raise InputError(
                f"{value}: expected a file of options, got a detector, which --config does not measure here; use "
                f"`detect-evaluate DATA --config {value}`, or add `--detector {value}`"
            )


def score_images(settings: Namespace, writer: ResultsWriter, split: Split) -> tuple[DetectionMetrics, dict[str, Any]]:
    """Score the chosen images, even if others have results too; return the score and the report on it.

    The report also has the mean number of proposals, the share of the objects that they find (0-1, None if it was not
    counted or there are no objects), and the source of the detections.
    """
    names = [record.image_id for record in split.records]
    results = [writer.images[name] for name in names]
    objects = split.chosen_objects
    detections = split_detections(objects.index, {result.image_id: result.detections for result in results})
    metrics = score(objects, detections, settings.rule or split.dataset.scoring_rule)
    warnings = print_warnings("detect-evaluate", objects, detections)
    report = build_report(metrics, resamples=settings.resamples, warnings=warnings)
    object_count = int((~objects.ignored).sum())
    covered = [result.covered for result in results if result.covered is not None]
    complete = len(names) == len(split.objects.index.image_ids)
    return metrics, report | {
        "proposals_per_image": sum(result.proposal_count for result in results) / len(results),
        "coverage": sum(covered) / object_count if object_count and len(covered) == len(results) else None,
        "source": {"results": str(writer.path.parent.absolute()), "images": None if complete else names},
    }
