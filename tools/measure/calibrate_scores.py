r"""Find how scores become shares of right detections, so that 0.5 means that about half of such boxes are right.

python -m tools.evaluate run --config configs/tiny_imagenet.yaml --data FOLDER --split val --results results
python -m tools.calibrate_scores --ground-truth results/ground_truth.json --detections results --rule voc \
    --plot reliability.png

The detections are those of a detector without `calibrate`, down to low scores, such as `tools.evaluate run` keeps; with
`--limit` where that was given the same. What is printed goes into the detector's YAML file. How well it works is
measured on half of the images, with what the other half gives; the numbers printed come from all of them. Figures of
the detector belong on another split.

--area prefers larger boxes of the same score, and so changes the order of detections: with several values, the mAP that
is printed tells which one suits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace

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
from tools.command.output_file import prepare_output, prepare_plot
from tools.command.split_options import add_limit_option
from tools.measure.evaluate.input import add_ground_truth_options, parse
from tools.measure.evaluate.score import RuleName, score_settings
from tools.report.analysis import number
from tools.report.score_report import text, write_json
from tools.report.text_table import format_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "calibrate_scores"
"""What its errors and warnings begin with."""

SEED = 1
"""Of which images are in which half."""


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.calibrate_scores", description="Make scores mean what they say.")
    parser.add_argument("--rule", type=RuleName | None, default=None, help="default: that of the data set")
    add_ground_truth_options(parser)
    parser.add_argument("--detections", type=str, required=True, help="as of tools.evaluate score")
    parser.add_argument(
        "--area", type=float | None, default=0.0, help="how much larger boxes are preferred; null for what is likeliest"
    )
    add_limit_option(parser)
    parser.add_argument("--json", type=str | None, default=None, help="file for all that is printed")
    parser.add_argument("--plot", type=str | None, default=None, help="PNG file for the reliability before and after")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, print, and return the exit status."""
    parser = build_parser()
    try:
        settings = parse(parser, sys.argv[1:] if arguments is None else arguments)
        json_file = prepare_output(settings.json) if settings.json is not None else None
        plot_file = prepare_plot(settings.plot) if settings.plot is not None else None
        metrics = score_settings(parser, settings, tool=NAME, limit=settings.limit)[0]
        if settings.area != 0 and not metrics.objects.index.sizes.all():
            raise InputError(f"{settings.ground_truth}: expected the size of every image, which --area needs, got none")
        judged = judge(metrics)
        before, after = measure(judged, len(metrics.objects.index.image_ids), settings)
        calibration = fit(judged, settings)
        report = build_report(metrics, judged, calibration) | {"before": _for_json(before), "after": _for_json(after)}
        print(format_report(report))
        write_json(json_file, report)
        if plot_file is not None:
            draw_reliability(before, after).savefig(plot_file)
    except InputError as error:
        print(f"{NAME}: {error.line}", file=sys.stderr)
        return 1
    return 0


def measure(judged: Judged, image_count: int, settings: Namespace) -> tuple[Reliability, Reliability]:
    """The reliability on half of the images, before and after a calibration that the other half gives."""
    held_out = np.random.default_rng(SEED).permutation(image_count) % 2 == 1
    measured = judged.part(np.flatnonzero(held_out[judged.images]))
    calibration = fit(judged.part(np.flatnonzero(~held_out[judged.images])), settings)
    shares = calibration(measured.scores, measured.areas).astype(np.float64)
    return reliability(measured.scores, measured.right), reliability(shares, measured.right)


def fit(judged: Judged, settings: Namespace) -> BetaCalibration:
    """The calibration that some detections give.

    Raises:
        InputError: naming the source of the detections, if they give none.
    """
    try:
        return fit_calibration(judged, area=settings.area)
    except ValueError as error:
        raise InputError(f"{settings.detections}: {error}") from None


def build_report(metrics: DetectionMetrics, judged: Judged, calibration: BetaCalibration) -> dict[str, Any]:
    """For JSON: what was judged, the numbers of the calibration, and mAP and the threshold of the best F1 with it."""
    shares = calibration(metrics.detections.scores, image_shares(metrics.detections)).astype(np.float64)
    calibrated = score(metrics.objects, replace(metrics.detections, scores=shares), metrics.rule)
    best = best_f1_overall(calibrated)
    return {
        "images": len(metrics.objects.index.image_ids),
        "detections": len(judged.scores),
        "right": int(judged.right.sum()),
        "mAP": {"before": metrics.mean_average_precision, "after": calibrated.mean_average_precision},
        "calibration": {name: getattr(calibration, name) for name in ("a", "b", "offset", "area")},
        "best_f1": {
            "score_threshold": best.score_threshold,
            "f1": best.f1,
            "precision": best.precision,
            "recall": best.recall,
        },
    }


def format_report(report: dict[str, Any]) -> str:
    """What the tool prints: the reliability before and after, then the settings."""
    lines = [
        f"{report['images']} images, {report['detections']} detections, {report['right']} of them right",
        f"mAP by the scores {text(report['mAP']['before'])}, by what is made of them {text(report['mAP']['after'])}",
    ]
    for when in ("before", "after"):
        rows = [
            [f"{low / BINS:.1f}", str(one["count"]), text(one["score"]), text(one["right"])]
            for low, one in enumerate(report[when]["bins"])
        ]
        lines += ["", f"{when}, on half of the images: expected error {text(report[when]['expected_error'])}"]
        lines += [format_table([["score from", "detections", "mean score", "right"], *rows])]
    calibration, best = report["calibration"], report["best_f1"]
    numbers = ", ".join(f"{name}: {value:.5g}" for name, value in calibration.items())
    return "\n".join(
        [
            *lines,
            "",
            "calibrate:",
            "  class_path: detection.calibration.BetaCalibration",
            f"  init_args: {{{numbers}}}",
            f"score_threshold: {best['score_threshold']:.3g}    # best F1: {text(best['f1'])}, "
            f"precision {text(best['precision'])}, recall {text(best['recall'])}",
        ]
    )


def draw_reliability(before: Reliability, after: Reliability) -> Figure:
    """The share of right detections against the score."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow to import
    from matplotlib.ticker import PercentFormatter  # noqa: PLC0415

    figure = Figure(figsize=(5, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="what scores say")
    for name, one in (("before", before), ("after", after)):
        filled = one.counts > 0
        label = f"{name}: expected error {one.expected_error:.3f}"
        axes.plot(one.scores[filled], one.shares[filled], marker="o", label=label)
    axes.set(xlabel="score", ylabel="right detections", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _for_json(one: Reliability) -> dict[str, Any]:
    columns = zip(one.counts.tolist(), one.scores.tolist(), one.shares.tolist(), strict=True)
    return {
        "expected_error": number(one.expected_error),
        "bins": [{"count": count, "score": number(score), "right": number(share)} for count, score, share in columns],
    }


if __name__ == "__main__":
    sys.exit(main())
