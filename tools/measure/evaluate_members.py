r"""The command `detect-evaluate-members`: measure each member of an ensemble alone, and together with those before it.

detect-evaluate-members --config tiny_imagenet.yaml --data FOLDER --split val --limit 500 \
    --detector.classify classifier.ensemble.Ensemble --detector.classify.members '[a.safetensors, b.safetensors]'

Each member scores all regions once, as they were proposed: the thresholds of a cascade and `follow_boxes` are ignored.
All figures are computed from these scores. Members together have the weights of the ensemble (`member_weights`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.ensemble import Ensemble
from classifier.scoring.score import Cascade, score_regions
from detection.errors import InputError
from detection.evaluation import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    draw_images,
    nan_mean,
    resampled_average_precision,
    unbiased_interval,
    within_0_1,
)
from detection.structures.contracts import RegionScores
from detection.structures.detections import Detections
from tools.command.entry_point import command
from tools.command.experiment import parse_experiment
from tools.command.option_parser import OptionParser
from tools.command.options import whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.measured_split import Measured, add_measured_split, open_measured
from tools.report.json_values import json_interval, json_number, write_json
from tools.report.text_table import format_interval, format_number, format_table


class Members(NamedTuple):
    """The scores of each of M members "alone", and of the first 1 to M members "together"."""

    names: list[str]
    scores: dict[str, list[DetectionMetrics]]
    regions: int


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-evaluate-members", description="Measure the members of an ensemble.")
    add_measured_split(parser)
    parser.add_argument("--resamples", type=whole(1, 100_000), default=RESAMPLES, help="bootstrap resamples")
    add_output_options(parser, "json")
    return parser


@command("detect-evaluate-members")
def main(arguments: Sequence[str]) -> None:
    """Score with each member, print the table, and write it."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    (json_file,) = prepare_outputs(parser, settings, "json")
    members = measure(open_measured(parser, settings), threads=settings.workers)
    report = build_report(members, resamples=settings.resamples)
    print(format_report(report))
    write_json(json_file, report)


def measure(measured: Measured, *, threads: int) -> Members:
    """Detect and score with each member of the ensemble, and with the first 1 to M members.

    Raises:
        InputError: if the classifier is no ensemble of two members or more, or naming an image that cannot be read.
    """
    ensemble, suppress = measured.detector.classify, measured.detector.suppress
    if not isinstance(ensemble, Ensemble) or len(ensemble.networks) < 2:
        raise InputError("detector.classify: expected a classifier.ensemble.Ensemble with two members or more")
    weights = ensemble.member_weights or [1.0] * len(ensemble.networks)
    detections: dict[str, list[dict[str, Detections]]] = {
        part: [{} for _ in ensemble.networks] for part in ("alone", "together")
    }
    regions = 0
    for group in measured.groups(threads=threads):
        images, boxes = [item.image for item in group], [item.proposals.boxes for item in group]
        by_member = [
            score_regions(Cascade([network], views=ensemble.views), images, boxes) for network in ensemble.networks
        ]
        for item, scores in zip(group, zip(*by_member, strict=True), strict=True):
            image_boxes, size = item.proposals.boxes, item.image.shape[:2]
            for row, alone in enumerate(scores):
                together = mean_scores(scores[: row + 1], weights[: row + 1])
                for part, region_scores in (("alone", alone), ("together", together)):
                    detections[part][row][item.record.image_id] = suppress(image_boxes, region_scores, size)
            regions += len(image_boxes)
    scored = {part: [measured.score(by_image) for by_image in members] for part, members in detections.items()}
    return Members([network.path.name for network in ensemble.networks], scored, regions)


def mean_scores(parts: Sequence[RegionScores], weights: Sequence[float]) -> RegionScores:
    """Return the scores that an ensemble gives to regions: the means of its members' scores with these weights."""
    probabilities = np.average([part.probabilities for part in parts], axis=0, weights=weights)
    refined = [(part.boxes, weight) for part, weight in zip(parts, weights, strict=True) if part.boxes is not None]
    if not refined:
        return RegionScores(probabilities.astype(np.float32))
    boxes, box_weights = zip(*refined, strict=True)
    return RegionScores(
        probabilities.astype(np.float32), np.average(boxes, axis=0, weights=box_weights).astype(np.float32)
    )


def build_report(members: Members, *, resamples: int) -> dict[str, Any]:
    """Return the mean average precisions with their intervals, and the gain of all members over the mean member."""
    first = members.scores["alone"][0]
    draws = draw_images(len(first.objects.index.image_ids), resamples=resamples)
    estimates = {
        part: [member.mean_average_precision for member in metrics] for part, metrics in members.scores.items()
    }
    resampled = {
        part: [nan_mean(resampled_average_precision(member, draws)) for member in metrics]
        for part, metrics in members.scores.items()
    }

    def figure(estimate: float, values: NDArray[np.float64], *, share: bool = True) -> dict[str, Any]:
        interval = unbiased_interval(values, estimate, CONFIDENCE)
        return {"mAP": json_number(estimate), "interval": json_interval(within_0_1(interval) if share else interval)}

    mean, mean_resampled = float(np.mean(estimates["alone"])), np.mean(resampled["alone"], axis=0)
    gain, gain_resampled = estimates["together"][-1] - mean, resampled["together"][-1] - mean_resampled
    return {
        "images": draws.shape[0],
        "regions": members.regions,
        "rule": first.rule,
        "bootstrap": {"confidence": CONFIDENCE, "resamples": resamples},
        "members": [
            {"member": name} | {part: figure(estimates[part][row], resampled[part][row]) for part in members.scores}
            for row, name in enumerate(members.names)
        ],
        "mean": figure(mean, mean_resampled),
        "gain": figure(gain, gain_resampled, share=False),
    }


def format_report(report: dict[str, Any]) -> str:
    """Return what the command prints: a line for each member, then the gain of all over their mean."""

    def cells(figure: dict[str, Any]) -> list[str]:
        return [format_number(figure["mAP"]), format_interval(figure["interval"])]

    table = [["", "alone", "", "with those above", ""]]
    table += [[row["member"], *cells(row["alone"]), *cells(row["together"])] for row in report["members"]]
    table.append(["mean", *cells(report["mean"]), "", ""])
    table.append(["all over the mean", *cells(report["gain"]), "", ""])
    head = f"{report['images']} images, {report['regions']} regions; mAP by rule {report['rule']}"
    note = f"[...]: {CONFIDENCE:.0%} bootstrap intervals over images, {report['bootstrap']['resamples']} resamples"
    return "\n".join([head, "", format_table(table), "", note])


if __name__ == "__main__":
    sys.exit(main())
