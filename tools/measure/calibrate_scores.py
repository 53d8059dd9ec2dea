r"""The command `detect-calibrate-scores`: make a score of 0.5 mean that about half of such detections are right.

detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val --results results
detect-calibrate-scores --ground-truth results/ground_truth.json --detections results --rule voc

The detections must come from a detector without `calibrate`, and go down to low scores; `detect-evaluate run` keeps
such detections. If it was given `--limit`, give the same limit here. The command prints what belongs into the YAML file
of the detector. To show how well the calibration works, it fits one on half of the images and measures it on the other
half; the numbers that it prints are fitted on all images. Measure the detector itself on another split.

--area prefers larger boxes among those of the same score, and so changes the order of the detections. Try several
values and compare the mAP that is printed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jsonargparse import Namespace

from detection.calibration import BetaCalibration
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.analysis.curves import best_f1_overall
from detection.evaluation.analysis.reliability import (
    BINS,
    Judged,
    Reliability,
    fit_calibration,
    image_shares,
    judge,
    reliability,
)
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import add_limit_option, real
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.input import add_scored_options, parse
from tools.measure.evaluate.score import score_settings
from tools.report.json_values import json_number, write_json
from tools.report.text_table import format_number, format_table

NAME = "detect-calibrate-scores"

SEED = 1
"""The seed that assigns the images to the two halves."""


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog=NAME, description="Turn scores into shares of right detections.")
    add_scored_options(parser)
    parser.add_argument(
        "--area", type=real(-1000, 1000) | None, default=0.0, help="preference for larger boxes; null: the likeliest"
    )
    add_limit_option(parser)
    add_output_options(parser, "json")
    return parser


@command(NAME)
def main(arguments: Sequence[str]) -> None:
    """Fit the calibration, measure it, print the result, and write it."""
    parser = build_parser()
    settings = parse(parser, arguments)
    (json_file,) = prepare_outputs(parser, settings, "json")
    metrics = score_settings(parser, settings, name=NAME, limit=settings.limit)[0]
    if settings.area != 0 and not metrics.objects.index.sizes.all():
        raise InputError(f"{settings.ground_truth}: expected the size of every image, which --area needs, got none")
    judged = judge(metrics)
    before, after = measure(judged, len(metrics.objects.index.image_ids), settings)
    report = build_report(metrics, judged, fit(judged, settings))
    report |= {"before": _for_json(before), "after": _for_json(after)}
    print(format_report(report))
    write_json(json_file, report)


def measure(judged: Judged, image_count: int, settings: Namespace) -> tuple[Reliability, Reliability]:
    """Return the reliability on half of the images, before and after a calibration that is fitted on the other half."""
    held_out = np.random.default_rng(SEED).permutation(image_count) % 2 == 1
    measured = judged.part(np.flatnonzero(held_out[judged.images]))
    calibration = fit(judged.part(np.flatnonzero(~held_out[judged.images])), settings)
    shares = calibration(measured.scores, measured.areas).astype(np.float64)
    return reliability(measured.scores, measured.right), reliability(shares, measured.right)


def fit(judged: Judged, settings: Namespace) -> BetaCalibration:
    """Fit a calibration to judged detections.

    Raises:
        InputError: naming the file of the detections, if no calibration can be fitted to them.
    """
    try:
        return fit_calibration(judged, area=settings.area)
    except ValueError as error:
        raise InputError(f"{settings.detections}: {error}") from None


def build_report(metrics: DetectionMetrics, judged: Judged, calibration: BetaCalibration) -> dict[str, Any]:
    """Return, for JSON, the calibration's numbers, and mAP and the score threshold of the best F1 with it."""
    shares = calibration(metrics.detections.scores, image_shares(metrics.detections)).astype(np.float64)
    calibrated = score(metrics.objects, replace(metrics.detections, scores=shares), metrics.rule)
    best = best_f1_overall(calibrated)
    return {
        "images": len(metrics.objects.index.image_ids),
        "detections": len(judged.scores),
        "right": int(judged.right.sum()),
        "mAP": {"before": metrics.mean_average_precision, "after": calibrated.mean_average_precision},
        "calibration": {name: getattr(calibration, name) for name in ("a", "b", "offset", "area")},
        "best_f1": {name: getattr(best, name) for name in ("score_threshold", "f1", "precision", "recall")},
    }


def format_report(report: dict[str, Any]) -> str:
    """Return what the command prints: the reliability before and after, then the settings for the YAML file."""
    lines = [
        f"{report['images']} images, {report['detections']} detections, {report['right']} of them right",
        f"mAP by the scores {format_number(report['mAP']['before'])}, "
        f"by calibrated scores {format_number(report['mAP']['after'])}",
    ]
    for when in ("before", "after"):
        rows = [
            [f"{low / BINS:.1f}", str(row["count"]), format_number(row["score"]), format_number(row["right"])]
            for low, row in enumerate(report[when]["bins"])
        ]
        lines += ["", f"{when}, on half of the images: expected error {format_number(report[when]['expected_error'])}"]
        lines += [format_table([["score from", "detections", "mean score", "right"], *rows])]
    best = report["best_f1"]
    numbers = ", ".join(f"{name}: {value:.5g}" for name, value in report["calibration"].items())
    f1, precision, recall = (format_number(best[name]) for name in ("f1", "precision", "recall"))
    quality = f"best F1: {f1}, precision {precision}, recall {recall}"
    lines += ["", "calibrate:", "  class_path: detection.calibration.BetaCalibration", f"  init_args: {{{numbers}}}"]
    threshold = math.floor(best["score_threshold"] * 1e4) / 1e4  # rounded down, so that the last detection is shown
    return "\n".join([*lines, f"score_threshold: {threshold:g}    # {quality}"])


def _for_json(measured: Reliability) -> dict[str, Any]:
    columns = zip(measured.counts.tolist(), measured.scores.tolist(), measured.shares.tolist(), strict=True)
    return {
        "expected_error": json_number(measured.expected_error),
        "bins": [
            {"count": count, "score": json_number(score), "right": json_number(share)}
            for count, score, share in columns
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
