"""The scores of the regions of a split, computed once, from which many settings of a detector can be tried."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from detection.datasets.dataset import DataSet, Entry
from detection.detector import Detector
from detection.evaluation import DetectionMetrics, score
from detection.structures.arrays import FloatArray
from detection.structures.contracts import RegionScores
from detection.structures.split_columns import SplitObjects, split_detections, split_index, split_objects
from detection.training.progress import show_progress
from tools.command.image_proposals import ImageProposals, propose_ahead
from tools.measure.evaluate.command import SMALLEST_SCORE

MOST_IMAGES = 1000
"""The most pictures that are scored, evenly spaced in the split: the mAP is accurate to about 0.01."""


class ScoredImage(NamedTuple):
    """The scored proposals [N, 4] of a picture of `size` (height, width), and their scores."""

    image_id: str
    size: tuple[int, int]
    boxes: FloatArray
    scores: RegionScores


class ScoredSplit(NamedTuple):
    """The objects of a split, and the scored pictures in the same order."""

    entries: Sequence[Entry]
    objects: SplitObjects
    images: Sequence[ScoredImage]

    def measure(self, detector: Detector, rule: str) -> DetectionMetrics:
        """Return the figures of the detector with its suppression, calibration and thresholds, by a rule."""
        detections = {image.image_id: detector.suppress(image.boxes, image.scores, image.size) for image in self.images}
        return score(self.objects, split_detections(self.objects.index, detections), rule)


def all_detections(detector: Detector) -> Detector:
    """Return the detector with the score threshold `SMALLEST_SCORE`, so that precision-recall curves are complete."""
    return replace(detector, score_threshold=SMALLEST_SCORE)


def score_split(detector: Detector, dataset: DataSet, split: str) -> ScoredSplit:
    """Find the proposals of the pictures of a split, and score them by the networks of a detector.

    Raises:
        InputError: naming what cannot be read.
    """
    entries = dataset.read_entries(split)
    entries = entries[:: -(-len(entries) // MOST_IMAGES) or 1]
    records = [entry.record for entry in entries]
    images: list[ScoredImage] = []
    proposals = ImageProposals(detector.propose)
    with show_progress(total=len(records), desc=f"scoring {split}", unit="images") as progress:
        for group in propose_ahead(records, proposals, threads=os.cpu_count() or 1):
            proposed = [image.proposals.boxes for image in group]
            boxes, scores = detector.classify_regions([image.image for image in group], proposed)
            for image, image_boxes, image_scores in zip(group, boxes, scores, strict=True):
                size = (image.image.shape[0], image.image.shape[1])
                images.append(ScoredImage(image.record.image_id, size, image_boxes, image_scores))
            progress.update(len(group))
    index = split_index(
        [image.image_id for image in images],
        dataset.class_names,
        file_names=[record.path.name for record in records],
        sizes=[image.size for image in images],
    )
    entries = [entry._replace(size=image.size) for entry, image in zip(entries, images, strict=True)]
    return ScoredSplit(entries, split_objects(index, records), images)
