"""The command `detect-experiments`: measure variants of a detector on one split, and print a table of them.

detect-experiments --config section8.yaml --data FOLDER --split val --limit 500 --csv table.csv

The shipped file has the steps of GoogLeNet's detector (arXiv 1409.4842, section 8). A variant is a complete detector,
as in `configs/detector.yaml`; its key `proposals` may name a file of `detect-propose` to take the proposals from.
Detections are kept as `detect-evaluate run` keeps them: an interrupted command goes on where it stopped. A variant of
which a part is missing, such as weights, is left out and named below the table. `timing` measures seconds, `report`
makes the table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation.uncertainty.bootstrap import RESAMPLES, draw_images
from tools.command.entry_point import command
from tools.command.image_proposals import open_cache
from tools.command.option_parser import OptionParser
from tools.command.options import (
    Workers,
    add_config_option,
    add_limit_option,
    add_rule_option,
    add_split_options,
    whole,
)
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.kept_results import complete_results
from tools.measure.evaluate.measured_split import Split, build_detector, read_split
from tools.measure.evaluate.run import score_images
from tools.measure.experiments.report import COLUMNS, ExperimentTable, Row, as_json, format_experiments, write_csv
from tools.measure.experiments.timing import timed, timing_file
from tools.report.json_values import write_json

CACHE = "proposals"
"""The key of a variant, beside those of a detector, that names a file of proposals."""


class Variant(NamedTuple):
    """A detector, and the settings of a `detect-evaluate run` that would measure it."""

    settings: Namespace
    detector: Detector


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-experiments", description="Measure variants of a detector.")
    add_config_option(parser)
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--variants", type=dict[str, Any], required=True, help="settings of each detector by its name")
    add_rule_option(parser)
    parser.add_argument("--resamples", type=whole(1, 100_000), default=RESAMPLES, help="bootstrap resamples")
    parser.add_argument("--timed", type=PositiveInt, default=20, help="number of images to time one by one")
    parser.add_argument("--workers", type=Workers, default=1, help="threads that read images and propose")
    parser.add_argument("--output", type=str, default="runs/experiments", help="folder to keep the detections in")
    add_output_options(parser, "csv", "json")
    return parser


@command("detect-experiments")
def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, and write it; return the exit status, 1 if a variant was left out."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    csv_file, json_file = prepare_outputs(parser, settings, "csv", "json", columns=COLUMNS)
    described = settings.pop("variants")  # each is built alone, because one of them may fail
    table = measure(described, settings, read_split(settings, parser.instantiate(settings).dataset))
    print(format_experiments(table))
    if csv_file is not None:
        write_csv(table, csv_file.path)
    write_json(json_file, as_json(table))
    return 1 if table.left_out else 0


def measure(described: dict[str, Any], settings: Namespace, split: Split) -> ExperimentTable:
    """Measure the variants that can be built, and compare each with the one before it.

    Raises:
        InputError: if no variant can be built, or naming what fails on the way.
    """
    draws = draw_images(len(split.chosen), resamples=settings.resamples)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name, content in described.items():
        try:
            variant = open_variant(content, settings, split)
        except InputError as error:
            left_out[name] = error.line
            continue
        print(f"detect-experiments: {name}", file=sys.stderr)
        rows.append(measure_variant(name, variant, split).compared(rows[-1:], draws))
    if not rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"variants: expected one that can be built, got none: {reasons or 'the list is empty'}")
    return ExperimentTable(rows, left_out, settings.split, settings.resamples)


def open_variant(content: Any, settings: Namespace, split: Split) -> Variant:
    """Build the detector of a variant.

    Args:
        content: a mapping such as `configs/detector.yaml` holds, perhaps with the key `proposals`.
        settings: the settings of the command.
        split: the split whose classes the detector must have.

    Raises:
        InputError: if the detector cannot be built, perhaps because a class or a file is missing.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Detector, "detector", instantiate=False, fail_untyped=True)
    if not isinstance(content, dict):
        raise InputError(f"expected the settings of a detector, got {content}")
    own = settings.clone()
    own[CACHE], own["results"] = content.get(CACHE), None
    try:
        own.update(parser.parse_object({"detector": {key: value for key, value in content.items() if key != CACHE}}))
        open_cache(own, own.detector.propose)  # here, because later an error would end the whole table
        return Variant(own, build_detector(parser, own, split.dataset))
    except (ArgumentError, TypeError, ValueError) as error:
        reason = " ".join(str(error).replace("detector.", "").split())
        raise InputError(f"expected the settings of a detector: {reason}") from None


def measure_variant(name: str, variant: Variant, split: Split) -> Row:
    """Detect in the images that have no results yet, time the detector, and score the detections."""
    writer = complete_results(variant.settings, split, lambda: variant.detector)
    path = timing_file(writer.path.parent, variant.settings.detector.as_dict())
    timing = timed(variant.detector, split.records, variant.settings.timed, path)
    metrics, report = score_images(variant.settings, writer, split)
    return Row(name, metrics, report, timing)
