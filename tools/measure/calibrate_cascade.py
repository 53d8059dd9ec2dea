r"""Find the next threshold of an ensemble's cascade: how many regions its first members can settle without a loss.

python -m tools.calibrate_cascade --config configs/tiny_imagenet/tiny_imagenet.yaml --data FOLDER --split val \
    --detector.classify classifier.ensemble.Ensemble --detector.classify.members '[a.safetensors, b.safetensors]'

The first run finds the threshold of the first member. With that in `cascade_thresholds`, the next run finds the one
after the second member, and so on. All members score the regions that get so far once; every threshold is then tried on
these scores. Figures of the detector belong on another split than the one that chose its thresholds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeFloat
from tqdm import tqdm

from classifier.ensemble import Ensemble
from classifier.scoring.cascade import Stages, last_within
from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import score
from detection.structures.arrays import FloatArray
from detection.structures.detections import Detections
from detection.structures.split_columns import SplitObjects, split_detections
from tools.command.image_proposals import propose_ahead
from tools.measure.evaluate.run import IMAGES_AT_ONCE, Measured, add_measured_split, open_measured
from tools.report.analysis import number
from tools.report.score_report import publish, text

THRESHOLDS = (0.0, *np.arange(0.02, 0.5, 0.02).round(2).tolist(), *np.arange(0.5, 1.05, 0.1).round(1).tolist())
"""Those that are tried: exact mode, then more where they are more likely."""

MAX_LOSS = 0.001
"""Of mean average precision, 0-1: 0.1 point."""


class Trials:
    """Detections with each of the thresholds, and how many regions went on."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.detections: list[dict[str, Detections]] = [{} for _ in THRESHOLDS]
        self.went_on = np.zeros(len(THRESHOLDS), np.int64)
        self.regions = 0

    def add(self, image_id: str, size: tuple[int, int], boxes: FloatArray, stages: Stages) -> None:
        """Detect among the scored regions [N, 4] of an image of `size` (height, width), once for each threshold."""
        self.regions += len(boxes)
        for row, threshold in enumerate(THRESHOLDS):
            self.went_on[row] += stages.goes_on(threshold).sum()
            self.detections[row][image_id] = self.detector.suppress(boxes, stages.choose(boxes, threshold), size)


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.calibrate_cascade", description="Find an ensemble's threshold.")
    add_measured_split(parser)
    parser.add_argument("--max_loss", type=NonNegativeFloat, default=MAX_LOSS, help="of mAP, which is 0-1")
    parser.add_argument("--json", type=str | None, default=None, help="file for the threshold and all trials")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, try all thresholds, print them, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    return publish("calibrate_cascade", settings.json, lambda: calibrate(parser, settings), format_report)


def calibrate(parser: ArgumentParser, settings: Namespace) -> dict[str, Any]:
    """The report on all thresholds.

    Raises:
        InputError: naming what cannot be used: a classifier that is no ensemble, an image, a cache of proposals.
    """
    measured = open_measured(parser, settings)
    trials = try_thresholds(measured, threads=settings.workers)
    found = build_report(trials, measured.split.chosen_objects, measured.rule, max_loss=settings.max_loss)
    return {"earlier": list(cast(Ensemble, measured.detector.classify).cascade_thresholds)} | found


def try_thresholds(measured: Measured, *, threads: int) -> Trials:
    """The detections of a detector, whose classifier has to be an ensemble, with each threshold."""
    detector, records = measured.detector, measured.records
    ensemble = detector.classify
    if not isinstance(ensemble, Ensemble) or len(ensemble.networks) < len(ensemble.cascade_thresholds) + 2:
        raise InputError(
            "detector.classify: expected a classifier.ensemble.Ensemble with two members or more that have no threshold"
        )
    trials = Trials(detector)
    with tqdm(total=len(records), unit="image", disable=None) as progress:
        for group in propose_ahead(records, measured.proposals, threads=threads, at_once=IMAGES_AT_ONCE):
            boxes = [one.proposals.boxes for one in group]
            for one, of_image, stages in zip(
                group, boxes, ensemble.stages([one.image for one in group], boxes), strict=True
            ):
                trials.add(one.record.image_id, one.image.shape[:2], of_image, stages)
                progress.update()
    return trials


def build_report(trials: Trials, objects: SplitObjects, rule: str, *, max_loss: float) -> dict[str, Any]:
    """Threshold, precision and share of regions that go on of each trial, and which one is chosen."""
    precisions = [
        score(objects, split_detections(objects.index, detections), rule).mean_average_precision
        for detections in trials.detections
    ]
    shares = (trials.went_on / max(trials.regions, 1)).tolist()
    rows = [
        {"threshold": threshold, "share": share, "mAP": number(precision)}
        for threshold, share, precision in zip(THRESHOLDS, shares, precisions, strict=True)
    ]
    chosen = rows[last_within(precisions, max_loss=max_loss)]
    report: dict[str, Any] = {"images": len(objects.index.image_ids), "regions": trials.regions, "rule": rule}
    return report | {"max_loss": max_loss, "chosen": chosen, "trials": rows}


def format_report(report: dict[str, Any]) -> str:
    """What the tool prints: a line a threshold, then the setting."""
    lines = [f"{report['images']} images, {report['regions']} regions", "threshold  go on  mAP"]
    lines += [f"{row['threshold']:9}  {row['share']:5.1%}  {text(row['mAP'])}" for row in report["trials"]]
    chosen = report["chosen"]
    loss = f"mAP ({report['rule']}) falls by {report['max_loss']:g} at most"
    thresholds = json.dumps([*report["earlier"], chosen["threshold"]])
    return "\n".join([*lines, f"cascade_thresholds: {thresholds}    # {loss}, {chosen['share']:.1%} go on"])


if __name__ == "__main__":
    sys.exit(main())
