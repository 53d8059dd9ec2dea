"""Mean average precision at half overlap, the score of the ILSVRC detection task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.arrays import BoolArray, IntArray
from detection.detections import Detections
from detection.evaluation.matching import IouThresholds, ilsvrc_iou_thresholds, match_image
from detection.ground_truth import GroundTruth


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """The score of a detector on a data set, for each of C classes.

    `average_precision` and `recall` float64 [C] in 0-1, nan for a class without ground truth; the recall is that of all
    detections, down to the lowest score. `ground_truth_counts` int64 [C].
    """

    class_names: tuple[str, ...]
    average_precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    ground_truth_counts: IntArray

    @property
    def mean_average_precision(self) -> float:
        """The plain mean over the classes that have ground truth, nan if none has."""
        counted = self.average_precision[self.ground_truth_counts > 0]
        return float(counted.mean()) if counted.size else float("nan")


def precision_recall(
    scores: NDArray[np.floating[Any]], true_positive: BoolArray, ground_truth_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision [N] and recall [N] of the best 1 to N detections of a class, whose order [N] is free.

    Equal scores rank in the order given. The recall is nan if there is no ground truth.

    Raises:
        ValueError: if the arrays do not fit each other, or there are more true positives than ground truths.
    """
    if scores.ndim != 1 or scores.shape != true_positive.shape:
        raise ValueError(
            f"scores and true_positive must both be [N], got {list(scores.shape)} and {list(true_positive.shape)}"
        )
    if true_positive.sum() > ground_truth_count:
        raise ValueError(f"got {true_positive.sum()} true positives, more than the {ground_truth_count} ground truths")
    found = true_positive[np.argsort(-scores, kind="stable")].cumsum()
    precision = found / np.arange(1, len(found) + 1)
    recall = found / ground_truth_count if ground_truth_count else np.full(len(found), np.nan)
    return precision, recall


def average_precision(scores: NDArray[np.floating[Any]], true_positive: BoolArray, ground_truth_count: int) -> float:
    """The area under the monotone envelope of precision over recall, 0-1: `VOCap.m` of the ILSVRC development kit.

    The envelope at a recall is the best precision at that recall or a higher one. Arguments and errors are those of
    `precision_recall`; without ground truth the area is nan.
    """
    precision, recall = precision_recall(scores, true_positive, ground_truth_count)
    if ground_truth_count == 0:
        return float("nan")
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    risen = np.diff(recall, prepend=0) > 0  # at each true positive, by one ground truth
    return float(envelope[risen].sum() / ground_truth_count)


def evaluate(
    ground_truths: Sequence[GroundTruth],
    detections: Mapping[str, Detections],
    class_names: Sequence[str],
    *,
    blacklist: Mapping[str, Collection[int]] | None = None,
    iou_thresholds: IouThresholds = ilsvrc_iou_thresholds,
) -> DetectionMetrics:
    """Score the detections of a data set; `detection.evaluation.matching` says what counts as found.

    `detections` are by image id; an image without an entry has none. `blacklist` gives by image id the labels that
    count neither way there, as detections or as ground truth. Equal scores rank in the order of `ground_truths`, then
    in that of the detections of the image.

    Raises:
        ValueError: naming the image, if it is listed twice, has a label outside `class_names`, or has detections with
            other class names or without being listed.
    """
    names = tuple(class_names)
    _check_agreement(ground_truths, detections, names)
    images = _scored_images(ground_truths, detections, names, blacklist or {})
    objects = np.concatenate([np.zeros(0, np.int64), *(truth.labels for truth, _ in images)])
    labels = np.concatenate([np.zeros(0, np.int64), *(detected.labels for _, detected in images)])
    scores = np.concatenate([np.zeros(0, np.float32), *(detected.scores for _, detected in images)])
    true_positive = np.concatenate([np.zeros(0, np.bool_), *(match_image(*image, iou_thresholds) for image in images)])
    counts = np.bincount(objects, minlength=len(names)).astype(np.int64)
    found = np.bincount(labels[true_positive], minlength=len(names))
    recall = np.divide(found, counts, out=np.full(len(names), np.nan), where=counts > 0)
    precisions = np.zeros(len(names))
    for label, count in enumerate(counts):
        rows = labels == label
        precisions[label] = average_precision(scores[rows], true_positive[rows], int(count))
    return DetectionMetrics(names, precisions, recall, counts)


def _check_agreement(
    ground_truths: Sequence[GroundTruth], detections: Mapping[str, Detections], class_names: tuple[str, ...]
) -> None:
    known: set[str] = set()
    for truth in ground_truths:
        if truth.image_id in known:
            raise ValueError(f"image {truth.image_id} is listed twice in the ground truth")
        known.add(truth.image_id)
        if len(truth) and truth.labels.max() >= len(class_names):
            raise ValueError(
                f"ground truth of image {truth.image_id}: labels must be below {len(class_names)}, the number of "
                f"classes, got {truth.labels.max()}"
            )
    for image_id, detected in detections.items():
        if image_id not in known:
            raise ValueError(f"detections of image {image_id}, which is not in the ground truth")
        if detected.class_names != class_names:
            raise ValueError(
                f"detections of image {image_id}: expected the {len(class_names)} class names of the evaluation, in "
                f"their order, got {len(detected.class_names)} others"
            )


def _scored_images(
    ground_truths: Sequence[GroundTruth],
    detections: Mapping[str, Detections],
    class_names: tuple[str, ...],
    blacklist: Mapping[str, Collection[int]],
) -> list[tuple[GroundTruth, Detections]]:
    """What counts in each image: its ground truth and its detections, which may be none, less the blacklisted."""
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)
    images = []
    for truth in ground_truths:
        counted, detected = truth, detections.get(truth.image_id, nothing)
        if truth.image_id in blacklist:
            blacklisted = list(blacklist[truth.image_id])
            kept = ~np.isin(truth.labels, blacklisted)
            counted = replace(truth, boxes=truth.boxes[kept], labels=truth.labels[kept], ignored=truth.ignored[kept])
            detected = detected[~np.isin(detected.labels, blacklisted)]
        images.append((counted, detected))
    return images
