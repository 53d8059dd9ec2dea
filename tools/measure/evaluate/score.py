"""Score detections that lie in a file, by any rule.

python -m tools.evaluate score --rule voc2007 --ground-truth VOCdevkit --split test --detections results/ --json FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt

from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.structures.split_columns import select_images
from tools.command.output_file import prepare_output
from tools.command.split_options import evenly_spaced
from tools.measure.evaluate.input import add_ground_truth_options, parse, read_ground_truth, read_split_detections
from tools.report.gallery import image_finder
from tools.report.page import write_page
from tools.report.score_report import build_report, format_report, write_json

SOURCE = ("rule", "ground_truth", "dataset", "split", "blacklist", "any_score", "detections")
"""The options that say what is scored."""

RuleName = Literal["ilsvrc", "voc2007", "voc", "coco"]


def build_parser() -> ArgumentParser:
    """The options of the action."""
    parser = ArgumentParser(prog="python -m tools.evaluate score", description="Score detections in a file.")
    parser.add_argument("--rule", type=RuleName | None, default=None, help="default: that of the data set")
    add_ground_truth_options(parser)
    parser.add_argument(
        "--detections", type=str, required=True, help="ILSVRC, COCO, VOC (folder), detect --json, or run"
    )
    parser.add_argument("--json", type=str | None, default=None, help="file for mAP, the AP of each class, and more")
    parser.add_argument("--html", type=str | None, default=None, help="file for the report as a page for a browser")
    parser.add_argument(
        "--images", type=str | None, default=None, help="folder of them, for --html; default: boxes without pictures"
    )
    parser.add_argument("--resamples", type=NonNegativeInt, default=RESAMPLES, help="of the bootstrap; 0 for none")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, print the result, and return the exit status; raises `InputError`."""
    parser = build_parser()
    settings = parse(parser, arguments)
    json_file = prepare_output(settings.json) if settings.json is not None else None
    html_file = prepare_output(settings.html) if settings.html is not None else None
    if settings.images is not None and not Path(settings.images).is_dir():
        raise InputError(f"{settings.images}: expected a folder of images")
    metrics, warnings = score_settings(parser, settings)
    report = build_report(metrics, resamples=settings.resamples, warnings=warnings)
    report["source"] = source_of(settings, settings.detections)
    print(format_report(report))
    write_json(json_file, report)
    if html_file is not None:
        write_page(html_file, report, metrics, image_finder(settings.images, metrics.objects.index))
    return 0


def score_settings(
    parser: ArgumentParser, settings: Namespace, *, tool: str = "evaluate", limit: int | None = None
) -> tuple[DetectionMetrics, list[str]]:
    """The score of the detections that the options name, and what is doubtful about it, which `tool` says too.

    With `limit`, of at most so many images, those that `tools.evaluate run` takes.

    Raises:
        InputError: naming the file and line, for anything that cannot be scored.
    """
    truth = read_ground_truth(settings, parser.instantiate(settings).dataset)
    if limit is not None:
        rows = evenly_spaced(range(len(truth.objects.index.image_ids)), limit)
        truth = truth._replace(objects=select_images(truth.objects, np.array(rows)))
    detections, warnings = read_split_detections(settings, truth, tool=tool)
    return score(truth.objects, detections, truth.rule, blacklist=truth.blacklist), warnings


def source_of(settings: Namespace, detections: str) -> dict[str, Any]:
    """The options that say what was scored, for `compare` to do it again."""
    given: dict[str, Any] = settings.as_dict() | {"detections": detections}
    source = {name: given[name] for name in SOURCE}
    for name in ("ground_truth", "detections", "blacklist"):
        source[name] = str(Path(source[name]).absolute()) if source[name] is not None else None
    if source["dataset"] is not None:
        source["dataset"]["init_args"].pop("root")
    return source
