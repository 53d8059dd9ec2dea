"""The score of a detector on a split, and the ranked detections of each class that it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.average_precision import average_precision
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE, Matches, match
from detection.evaluation.rules import MatchingRule
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.split_columns import SplitDetections, SplitObjects


class Ranking(NamedTuple):
    """The N detections of a class, best first, and its M objects, both without those that are ignored.

    `scores` is float64 [N] and `true_positive` bool [N]. `images` int64 [N] and `object_images` int64 [M] are the
    positions of their images in the split.
    """

    scores: NDArray[np.float64]
    true_positive: BoolArray
    images: IntArray
    object_images: IntArray

    def average_precision(self, recall_levels: Sequence[float] | None) -> float:
        """Return the average precision; see `detection.evaluation.average_precision`."""
        return average_precision(self.scores, self.true_positive, len(self.object_images), recall_levels)


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """The score of a detector on a data set, for each of C classes.

    Args:
        rule: the name of the rule.
        average_precision: float64 [C] in 0-1, nan for a class without ground truth.
        recall: the recall of all detections, down to the lowest score, float64 [C] in 0-1, nan without ground truth.
        ground_truth_counts: the number of objects of each class, int64 [C], without ignored objects.
        rankings: for each class its ranking, or with COCO's rule one for each IoU threshold, over which the figures
            are averaged.
        recall_levels: see `MatchingRule`.
        objects: the objects that were scored.
        detections: the detections that were scored.
        matches: the result of matching them; with COCO's rule at an IoU of 0.5.
        details: further figures of the rule by name.
    """

    rule: str
    average_precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    ground_truth_counts: IntArray
    rankings: Sequence[Sequence[Ranking]]
    recall_levels: Sequence[float] | None
    objects: SplitObjects
    detections: SplitDetections
    matches: Matches
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the C classes."""
        return self.objects.index.class_names

    @property
    def mean_average_precision(self) -> float:
        """The mean of the average precision over the classes with ground truth, or nan if there are none."""
        counted = self.ground_truth_counts > 0
        return float(self.average_precision[counted].mean()) if counted.any() else float("nan")

    @property
    def total_recall(self) -> float:
        """The share of all objects that were found, or nan if there are no objects."""
        counted = self.ground_truth_counts > 0
        found_count = float((self.recall[counted] * self.ground_truth_counts[counted]).sum())
        return found_count / float(self.ground_truth_counts.sum()) if counted.any() else float("nan")


def score_by_matching(objects: SplitObjects, detections: SplitDetections, rule: MatchingRule) -> DetectionMetrics:
    """Score detections by a rule."""
    return metrics_of(objects, detections, match(objects, detections, rule))


def metrics_of(objects: SplitObjects, detections: SplitDetections, matches: Matches) -> DetectionMetrics:
    """Score detections that have been matched with objects."""
    rule = matches.rule
    rankings = _rankings(objects, detections, matches)
    counts = np.array([len(ranking.object_images) for ranking in rankings], np.int64)
    found_counts = np.array([ranking.true_positive.sum() for ranking in rankings], np.int64)
    return DetectionMetrics(
        rule=rule.name,
        average_precision=np.array([ranking.average_precision(rule.recall_levels) for ranking in rankings]),
        recall=np.divide(found_counts, counts, out=np.full(len(counts), np.nan), where=counts > 0),
        ground_truth_counts=counts,
        rankings=[[ranking] for ranking in rankings],
        recall_levels=rule.recall_levels,
        objects=objects,
        detections=detections,
        matches=matches,
    )


def _rankings(objects: SplitObjects, detections: SplitDetections, matches: Matches) -> list[Ranking]:
    """Return the ranking of each class."""
    counted = matches.order[matches.outcomes[matches.order] != IGNORED]
    objects_counted = np.flatnonzero(~objects.ignored)
    class_rows = split_by(detections.labels[counted], counted, len(objects.index.class_names))
    class_objects = split_by(objects.labels[objects_counted], objects_counted, len(objects.index.class_names))
    return [
        Ranking(
            detections.scores[rows],
            matches.outcomes[rows] == TRUE_POSITIVE,
            detections.images[rows],
            objects.images[object_rows],
        )
        for rows, object_rows in zip(class_rows, class_objects, strict=True)
    ]


def split_by(labels: IntArray, rows: IntArray, class_count: int) -> list[IntArray]:
    """Split rows [P] with labels [P] into the rows of each class, in their order."""
    by_class = np.argsort(labels.astype(np.min_scalar_type(class_count)), kind="stable")  # 16 bits are sorted faster
    bounds = np.bincount(labels, minlength=class_count)[:-1].cumsum()
    return np.split(rows[by_class], bounds)[:class_count]
