r"""Measure what each member of an ensemble is worth: alone, and together with those before it.

python -m tools.evaluate_members --config configs/tiny_imagenet.yaml --data FOLDER --split val --limit 500 \
    --detector.classify classifier.ensemble.Ensemble --detector.classify.members '[a.safetensors, b.safetensors]'

Each member scores all regions once, whatever the thresholds of a cascade; all else follows from these scores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from numpy.typing import NDArray
from tqdm import tqdm

from classifier.ensemble import Ensemble
from classifier.scoring.score import score_regions
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
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
from detection.structures.split_columns import split_detections
from tools.command.image_proposals import propose_ahead
from tools.measure.evaluate.run import IMAGES_AT_ONCE, Measured, add_measured_split, open_measured
from tools.report.analysis import number
from tools.report.score_report import bounds, publish, text
from tools.report.text_table import format_table


class Members(NamedTuple):
    """Scores of each of M members `alone`, and of the first so many `together`; the last of those is of all."""

    names: list[str]
    alone: list[DetectionMetrics]
    together: list[DetectionMetrics]
    regions: int


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.evaluate_members", description="Measure an ensemble's members.")
    add_measured_split(parser)
    parser.add_argument("--resamples", type=PositiveInt, default=RESAMPLES, help="of the bootstrap")
    parser.add_argument("--json", type=str | None, default=None, help="file for the table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, print the table, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    return publish("evaluate_members", settings.json, lambda: evaluate(parser, settings), format_report)


def evaluate(parser: ArgumentParser, settings: Namespace) -> dict[str, Any]:
    """The report on all members.

    Raises:
        InputError: naming what cannot be used: a classifier that is no ensemble, an image, a cache of proposals.
    """
    measured = open_measured(parser, settings)
    return build_report(measure(measured, threads=settings.workers), resamples=settings.resamples)


def measure(measured: Measured, *, threads: int) -> Members:
    """The detections of a detector, whose classifier has to be an ensemble, by each member and by the first so many."""
    ensemble = measured.detector.classify
    if not isinstance(ensemble, Ensemble) or len(ensemble.networks) < 2:
        raise InputError("detector.classify: expected a classifier.ensemble.Ensemble with two members or more")
    alone: list[dict[str, Detections]] = [{} for _ in ensemble.networks]
    together: list[dict[str, Detections]] = [{} for _ in ensemble.networks]
    regions = 0
    groups = propose_ahead(measured.records, measured.proposals, threads=threads, at_once=IMAGES_AT_ONCE)
    with tqdm(total=len(measured.records), unit="image", disable=None) as progress:
        for group in groups:
            images, boxes = [one.image for one in group], [one.proposals.boxes for one in group]
            by_member = [score_regions([one], images, boxes, views=ensemble.views) for one in ensemble.networks]
            for one, of_image, scores in zip(group, boxes, zip(*by_member, strict=True), strict=True):
                means = [mean_scores(scores[: count + 1]) for count in range(len(scores))]
                for target, found in ((alone, scores), (together, means)):
                    for detections, of_member in zip(target, found, strict=True):
                        detections[one.record.image_id] = measured.detector.suppress(
                            of_image, of_member, one.image.shape[:2]
                        )
                regions += len(of_image)
                progress.update()
    objects = measured.split.chosen_objects
    of_alone, of_together = (
        [score(objects, split_detections(objects.index, detections), measured.rule) for detections in part]
        for part in (alone, together)
    )
    return Members([network.path.name for network in ensemble.networks], of_alone, of_together, regions)


def mean_scores(parts: Sequence[RegionScores]) -> RegionScores:
    """What an ensemble says of regions of which its members say this."""
    boxes = [part.boxes for part in parts if part.boxes is not None]
    probabilities = np.mean([part.probabilities for part in parts], axis=0)
    return RegionScores(probabilities, np.mean(boxes, axis=0) if boxes else None)


def build_report(members: Members, *, resamples: int) -> dict[str, Any]:
    """Mean average precision of all, with intervals, and what all have over the mean member."""
    draws = draw_images(len(members.alone[0].objects.index.image_ids), resamples=resamples)

    def figure(estimate: float, resampled: NDArray[np.float64]) -> dict[str, Any]:
        interval = within_0_1(unbiased_interval(resampled, estimate, CONFIDENCE))
        return {"mAP": number(estimate), "interval": bounds(interval)}

    resampled = {
        part: [nan_mean(resampled_average_precision(one, draws)) for one in metrics]
        for part, metrics in (("alone", members.alone), ("together", members.together))
    }
    rows = [
        {
            "member": name,
            "alone": figure(members.alone[row].mean_average_precision, resampled["alone"][row]),
            "together": figure(members.together[row].mean_average_precision, resampled["together"][row]),
        }
        for row, name in enumerate(members.names)
    ]
    mean = float(np.mean([one.mean_average_precision for one in members.alone]))
    of_mean = np.mean(resampled["alone"], axis=0)
    gain = members.together[-1].mean_average_precision - mean
    return {
        "images": draws.shape[0],
        "regions": members.regions,
        "rule": members.alone[0].rule,
        "bootstrap": {"confidence": CONFIDENCE, "resamples": resamples},
        "members": rows,
        "mean": figure(mean, of_mean),
        "gain": {
            "mAP": number(gain),
            "interval": bounds(unbiased_interval(resampled["together"][-1] - of_mean, gain, CONFIDENCE)),
        },
    }


def format_report(report: dict[str, Any]) -> str:
    """What the tool prints: a line a member, then what all have over their mean."""

    def cells(one: dict[str, Any]) -> list[str]:
        low, high = one["interval"]
        return [text(one["mAP"]), "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"]

    table = [["", "alone", "", "with those above", ""]]
    table += [[row["member"], *cells(row["alone"]), *cells(row["together"])] for row in report["members"]]
    table.append(["mean", *cells(report["mean"]), "", ""])
    table.append(["all over the mean", *cells(report["gain"]), "", ""])
    head = f"{report['images']} images, {report['regions']} regions; mAP by rule {report['rule']}"
    note = f"[...]: {CONFIDENCE:.0%} bootstrap intervals over images, {report['bootstrap']['resamples']} resamples"
    return "\n".join([head, "", format_table(table), "", note])


if __name__ == "__main__":
    sys.exit(main())
