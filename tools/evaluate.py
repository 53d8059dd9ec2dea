"""Measure a detector: mean average precision at 0.5 Jaccard overlap.

python -m tools.evaluate run --config configs/tiny_imagenet.yaml --data FOLDER --split val
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from classifier.image_classifier import require_same_classes
from detection.arrays import Image
from detection.contracts import Proposals
from detection.detections import Detections
from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, evaluate
from detection.evaluation.matching import half_iou_thresholds, ilsvrc_iou_thresholds
from detection.ground_truth import GroundTruth
from detection.image import read_image
from tools.experiment import add_experiment_options
from tools.image_proposals import ImageProposals, open_cache, use_one_thread
from tools.split_options import add_limit_option, evenly_spaced

IMAGES_AT_ONCE = 16
"""Images whose regions share the classifier's batches."""

RULES = {"half": half_iou_thresholds, "ilsvrc": ilsvrc_iou_thresholds}
"""An IoU of 0.5 for all objects, or less for objects under 25 pixels as in the ILSVRC detection task."""


class ProposedImages(Dataset[tuple[str, Image, Proposals]]):
    """Images of a split with their proposals, read and made in the loader's processes."""

    def __init__(self, records: Sequence[GroundTruth], proposals: ImageProposals) -> None:
        self.records = records
        self.proposals = proposals

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[str, Image, Proposals]:
        record = self.records[index]
        image = read_image(record.path)
        return record.image_id, image, self.proposals(record, image)


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.evaluate", description="Measure a detector.")
    parser.add_argument("action", choices=["run"], help="detect in the images of a split, and score the detections")
    add_experiment_options(parser, detector_required=True)
    parser.add_argument("--split", type=str, default="val")
    add_limit_option(parser)
    parser.add_argument("--json", type=str | None, default=None, help="file for mAP and the AP of each class")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the result, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        cache = open_cache(settings, settings.detector.propose)
        built = parser.instantiate(settings)
        records = evenly_spaced(built.dataset.read(settings.split), settings.limit)
        detector = Detector(**built.detector)
        require_same_classes("detector", detector.class_names, settings.data, built.dataset.class_names)
        if cache is not None:
            cache.require(records)
        proposals = ImageProposals(detector.propose, cache)
        detections, proposal_count = detect_all(detector, records, proposals, workers=settings.workers)
    except InputError as error:
        print(f"evaluate: {error.line}", file=sys.stderr)
        return 1
    report: dict[str, Any] = {
        "images": len(records),
        "proposals_per_image": proposal_count / max(1, len(records)),
    }
    for rule, thresholds in RULES.items():
        metrics = evaluate(records, detections, detector.class_names, iou_thresholds=thresholds)
        report[rule] = _summary(metrics)
    print(f"{report['images']} images, {report['proposals_per_image']:.1f} proposals an image")
    for rule in RULES:
        print(f"mAP ({rule}): {report[rule]['mAP']:.4f}, recall {report[rule]['recall']:.4f}")
    if settings.json is not None:
        Path(settings.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def detect_all(
    detector: Detector, records: Sequence[GroundTruth], proposals: ImageProposals, *, workers: int
) -> tuple[dict[str, Detections], int]:
    """Detections of each image by its id, and the number of proposals."""
    detections: dict[str, Detections] = {}
    proposal_count = 0
    loader = DataLoader(
        ProposedImages(records, proposals),
        batch_size=IMAGES_AT_ONCE,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=use_one_thread,
    )
    with tqdm(total=len(records), unit="image", disable=None) as progress:
        for group in loader:
            names, images, candidates = zip(*group, strict=True)
            detections.update(zip(names, detector.score(images, candidates), strict=True))
            proposal_count += sum(len(of_image) for of_image in candidates)
            progress.update(len(group))
    return detections, proposal_count


def _summary(metrics: DetectionMetrics) -> dict[str, Any]:
    counts = metrics.ground_truth_counts
    found = (metrics.recall[counts > 0] * counts[counts > 0]).sum()
    return {
        "mAP": metrics.mean_average_precision,
        "recall": float(found / counts.sum()),
        "AP": dict(zip(metrics.class_names, metrics.average_precision.tolist(), strict=True)),
    }


if __name__ == "__main__":
    sys.exit(main())
