"""Measure variants of a detector on one split, such as the steps of GoogLeNet's (arXiv 1409.4842, section 8).

python -m tools.experiments --config configs/section8.yaml --data FOLDER --split val --limit 500 --csv table.csv

Results are kept as those of `tools.evaluate run`: a run that was interrupted goes on where it stood, and one that is
done only prints. A variant of which a part is missing, such as weights, is left out, and named below the table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.errors import InputError
from detection.evaluation.uncertainty.bootstrap import RESAMPLES, draw_images
from tools.command.output_file import prepare_output
from tools.command.split_options import add_limit_option, add_split_options
from tools.measure.evaluate.run import Split, complete_results, read_split, score_images
from tools.measure.evaluate.score import RuleName
from tools.measure.experiments.report import ExperimentTable, Row, as_json, format_experiments, write_csv
from tools.measure.experiments.timing import timed
from tools.measure.experiments.variant import Variant, open_variant
from tools.report.score_report import write_json


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.experiments", description="Measure variants of a detector.")
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument(
        "--variants", type=dict[str, Any], required=True, help="name -> settings of a detector, maybe with proposals"
    )
    parser.add_argument("--rule", type=RuleName | None, default=None, help="default: that of the data set")
    parser.add_argument("--resamples", type=PositiveInt, default=RESAMPLES, help="of the bootstrap")
    parser.add_argument("--timed", type=PositiveInt, default=20, help="images to time, evenly spaced, one by one")
    parser.add_argument("--workers", type=NonNegativeInt, default=1, help="processes that load images and propose")
    parser.add_argument("--output", type=str, default="runs/experiments", help="folder to keep results in")
    parser.add_argument("--csv", type=str | None, default=None, help="file for the table")
    parser.add_argument("--json", type=str | None, default=None, help="file for the table and how it was made")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit status: 0 also where variants had to be left out."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    described = settings.pop("variants")  # they are built one by one, as one may fail
    try:
        csv_file = prepare_output(settings.csv, suffix=".csv") if settings.csv is not None else None
        json_file = prepare_output(settings.json) if settings.json is not None else None
        table = measure(described, settings, read_split(settings, parser.instantiate(settings).dataset))
        print(format_experiments(table))
        if csv_file is not None:
            write_csv(table, csv_file)
        write_json(json_file, as_json(table))
    except InputError as error:
        print(f"experiments: {error.line}", file=sys.stderr)
        return 1
    return 0


def measure(described: dict[str, Any], settings: Namespace, split: Split) -> ExperimentTable:
    """The table of the variants that can be built.

    Raises:
        InputError: if none can, or naming what fails on the way.
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
        print(f"experiments: {name}", file=sys.stderr)
        rows.append(measure_variant(name, variant, split).compared(rows[-1:], draws))
    if not rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"variants: expected one that can be built, got none: {reasons or 'the list is empty'}")
    return ExperimentTable(rows, left_out, settings.split, settings.resamples)


def measure_variant(name: str, variant: Variant, split: Split) -> Row:
    """Detect where that is still to do, time, and score."""
    writer = complete_results(variant.settings, split, lambda: variant.detector)
    timing = timed(variant.detector, split.chosen, variant.settings.timed, writer.path.parent)
    metrics, report = score_images(variant.settings, writer, split)
    return Row(name, metrics, report, timing)
