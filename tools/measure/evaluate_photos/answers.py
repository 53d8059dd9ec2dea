"""Whether the best detections of a photo have the class of what it shows."""

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
"""The categories that a photo is asked for."""


class Outcome(NamedTuple):
    """What came of a category that a photo shows.

    `right`: one of the best detections has a class of the category. `placed`: one such also overlaps an object of it by
    an IoU of 0.5 or more. `score` is that of the best right one, 0 without any.
    """

    category: int
    right: bool
    placed: bool
    score: float


class Answer(NamedTuple):
    """A photo with its best detections, and the outcome for each category that it is asked for, at least one."""

    record: GroundTruth
    best: Detections
    outcomes: tuple[Outcome, ...]

    @property
    def right(self) -> bool:
        """Whether a class of any of the categories is among the best detections."""
        return any(outcome.right for outcome in self.outcomes)

    @property
    def placed(self) -> bool:
        """Whether such a detection also has the place of the object."""
        return any(outcome.placed for outcome in self.outcomes)

    @property
    def score(self) -> float:
        """Of the best right detection, 0 without any."""
        return max(outcome.score for outcome in self.outcomes)


def largest_category(record: GroundTruth) -> list[int]:
    """The category of the object with the largest box, of equal ones the first; none where all are ignored."""
    counted = np.flatnonzero(~record.ignored)
    if not len(counted):
        return []
    areas = box_area(record.boxes[counted])
    return [int(record.labels[counted[areas.argmax()]])]


def visible_categories(record: GroundTruth) -> list[int]:
    """The categories of all objects whose boxes are larger than 32x32 px, ignored ones left out, the largest first."""
    areas = box_area(record.boxes)
    counted = np.flatnonzero(~record.ignored & (areas > SMALL_AREA))
    order = counted[np.argsort(-areas[counted], kind="stable")]
    return list(dict.fromkeys(record.labels[order].tolist()))


def answer(record: GroundTruth, best: Detections, asked: Sequence[int], kinds: KindsByCategory) -> Answer | None:
    """How the best detections of a photo answer for those of the categories that have classes; None without any."""
    outcomes = [outcome(record, best, category, kinds[category]) for category in asked if category in kinds]
    return Answer(record, best, tuple(outcomes)) if outcomes else None


def answer_all(
    question: Question, records: Sequence[GroundTruth], best: Mapping[str, Detections], kinds: KindsByCategory
) -> list[Answer]:
    """The answers of the photos that the question asks anything with classes; `best` has detections by image id."""
    answers = (answer(record, best[record.image_id], question(record), kinds) for record in records)
    return [one for one in answers if one is not None]


def outcome(record: GroundTruth, best: Detections, category: int, kinds: Kinds) -> Outcome:
    """What the best detections of a photo make of one category."""
    hits = best[np.isin(best.labels, list(kinds.labels))]
    objects = record.boxes[(record.labels == category) & ~record.ignored]
    placed = covered_count(hits.boxes, objects) > 0
    return Outcome(category, len(hits) > 0, placed, float(hits.scores.max(initial=0)))
