r"""The command `detect-calibrate-cascade`: find the next threshold of an ensemble's cascade.

detect-calibrate-cascade --config tiny_imagenet.yaml --data FOLDER --split val \
    --detector.classify classifier.ensemble.Ensemble --detector.classify.members '[a.safetensors, b.safetensors]'

A threshold decides which regions the first members settle alone. The first run finds the threshold of the first member;
with that in `cascade_thresholds`, the next run finds the threshold after the second member, and so on. All members
score once the regions that reach them, and every threshold is tried on these scores. Measure the detector on another
split than the one that chose its thresholds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from jsonargparse.typing import NonNegativeFloat

from classifier.ensemble import Ensemble
from classifier.scoring.cascade import last_within
from detection.errors import InputError
from detection.structures.detections import Detections
from tools.command.entry_point import command
from tools.command.experiment import parse_experiment
from tools.command.option_parser import OptionParser
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.measured_split import Measured, add_measured_split, open_measured
from tools.report.json_values import json_number, write_json
from tools.report.text_table import format_number

THRESHOLDS = (0.0, *np.arange(0.02, 0.5, 0.02).round(2).tolist(), *np.arange(0.5, 1.05, 0.1).round(1).tolist())
"""The thresholds that are tried: 0, with which all members score all regions, and more where they are more likely."""

MAX_LOSS = 0.001
"""The default of the largest loss of mean average precision, in 0-1."""


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-calibrate-cascade", description="Find a threshold of an ensemble's cascade.")
    add_measured_split(parser)
    parser.add_argument("--max_loss", type=NonNegativeFloat, default=MAX_LOSS, help="largest loss of mAP, in 0-1")
    add_output_options(parser, "json")
    return parser


@command("detect-calibrate-cascade")
def main(arguments: Sequence[str]) -> None:
    """Score, try all thresholds, print them, and write them."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    (json_file,) = prepare_outputs(parser, settings, "json")
    report = try_thresholds(open_measured(parser, settings), threads=settings.workers, max_loss=settings.max_loss)
    print(format_report(report))
    write_json(json_file, report)


def try_thresholds(measured: Measured, *, threads: int, max_loss: float) -> dict[str, Any]:
    """Score the regions once, and return precision and share of regions that go on with each threshold.

    Raises:
        InputError: if the classifier is no ensemble with a threshold to find, or naming an image that cannot be read.
    """
    detector, ensemble = measured.detector, measured.detector.classify
    if not isinstance(ensemble, Ensemble) or len(ensemble.networks) < len(ensemble.cascade_thresholds) + 2:
        raise InputError(
            "detector.classify: expected a classifier.ensemble.Ensemble with two members or more that have no threshold"
        )
    detections: list[dict[str, Detections]] = [{} for _ in THRESHOLDS]
    going_on, regions = np.zeros(len(THRESHOLDS), np.int64), 0
    for group in measured.groups(threads=threads):
        images, boxes = [item.image for item in group], [item.proposals.boxes for item in group]
        for item, stages in zip(group, ensemble.stages(images, boxes), strict=True):
            image_boxes = item.proposals.boxes
            regions += len(image_boxes)
            for row, threshold in enumerate(THRESHOLDS):
                going_on[row] += stages.goes_on(threshold).sum()
                suppressed = detector.suppress(image_boxes, stages.choose(image_boxes, threshold), item.image.shape[:2])
                detections[row][item.record.image_id] = suppressed

    precisions = [measured.score(by_image).mean_average_precision for by_image in detections]
    trials = [
        {"threshold": threshold, "share": share, "mAP": json_number(precision)}
        for threshold, share, precision in zip(
            THRESHOLDS, (going_on / max(regions, 1)).tolist(), precisions, strict=True
        )
    ]
    return {
        "earlier": list(ensemble.cascade_thresholds),
        "images": len(measured.split.chosen),
        "regions": regions,
        "rule": measured.rule,
        "max_loss": max_loss,
        "chosen": trials[last_within(precisions, max_loss=max_loss)],
        "trials": trials,
    }


def format_report(report: dict[str, Any]) -> str:
    """Return what the command prints: a line for each threshold, then the setting for the YAML file."""
    lines = [f"{report['images']} images, {report['regions']} regions", "threshold  go on  mAP"]
    lines += [f"{row['threshold']:9}  {row['share']:5.1%}  {format_number(row['mAP'])}" for row in report["trials"]]
    chosen = report["chosen"]
    loss = f"mAP ({report['rule']}) falls by {report['max_loss']:g} at most"
    thresholds = json.dumps([*report["earlier"], chosen["threshold"]])
    return "\n".join([*lines, f"cascade_thresholds: {thresholds}    # {loss}, {chosen['share']:.1%} go on"])


if __name__ == "__main__":
    sys.exit(main())
