"""The questions that a photo is asked, and the answers that its best detections give.

`largest_category` and `visible_categories` are the questions: they return the categories that a photo is asked for. An
`Answer` has an `Outcome` for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from detection.datasets.category_kinds import Kinds, KindsByCategory
from detection.structures.boxes import box_area
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.object_sizes import SMALL_AREA
from proposals.coverage import covered_count

Question = Callable[[GroundTruth], list[int]]
"""A function that returns the categories that a photo is asked for."""


class Outcome(NamedTuple):
    """The answer for one category that a photo shows.

    `right` is true if one of the best detections has a class of the category, and `placed` if such a detection also
    overlaps an object of the category by an IoU of 0.5 or more. `score` is the score of the best such detection, or 0.
    """

    category: int
    right: bool
    placed: bool
    score: float


class Answer(NamedTuple):
    """A photo, its best detections, and the outcomes for the categories that it is asked for, at least one."""

    record: GroundTruth
    best: Detections
    outcomes: tuple[Outcome, ...]

    @property
    def right(self) -> bool:
        """True if a class of any of the categories is among the best detections."""
        return any(outcome.right for outcome in self.outcomes)

    @property
    def placed(self) -> bool:
        """True if such a detection also has the place of the object."""
        return any(outcome.placed for outcome in self.outcomes)

    @property
    def score(self) -> float:
        """The score of the best right detection, or 0 without any."""
        return max(outcome.score for outcome in self.outcomes)


def largest_category(record: GroundTruth) -> list[int]:
    """Return the category of the object with the largest box (of equal boxes the first), or none if all are ignored."""
    areas = np.where(record.ignored, -1, box_area(record.boxes))
    return [] if record.ignored.all() else [int(record.labels[areas.argmax()])]


def visible_categories(record: GroundTruth) -> list[int]:
    """Return the categories of all objects larger than 32x32 px that are not ignored, those of larger boxes first."""
    areas = box_area(record.boxes)
    counted = np.flatnonzero(~record.ignored & (areas > SMALL_AREA))
    order = counted[np.argsort(-areas[counted], kind="stable")]
    return list(dict.fromkeys(record.labels[order].tolist()))


def answer(record: GroundTruth, best: Detections, asked: Sequence[int], kinds: KindsByCategory) -> Answer | None:
    """Return the answer for those categories of `asked` that have classes, or None if there is none."""
    outcomes = tuple(outcome(record, best, category, kinds[category]) for category in asked if category in kinds)
    return Answer(record, best, outcomes) if outcomes else None


def answer_all(
    question: Question, records: Sequence[GroundTruth], best: Mapping[str, Detections], kinds: KindsByCategory
) -> list[Answer]:
    """Return the answers of the photos that have one; `best` has the detections by image id."""
    answers = (answer(record, best[record.image_id], question(record), kinds) for record in records)
    return [item for item in answers if item is not None]


def outcome(record: GroundTruth, best: Detections, category: int, kinds: Kinds) -> Outcome:
    """Return the outcome of a photo's best detections for one category."""
    hits = best[np.isin(best.labels, list(kinds.labels))]
    objects = record.boxes[(record.labels == category) & ~record.ignored]
    placed = covered_count(hits.boxes, objects) > 0
    return Outcome(category, len(hits) > 0, placed, float(hits.scores.max(initial=0)))
