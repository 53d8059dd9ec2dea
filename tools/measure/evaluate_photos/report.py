"""The figures of `tools.evaluate_photos`: printed, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from detection.datasets.category_kinds import ALL, SOME, KindsByCategory
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE
from detection.evaluation.uncertainty.proportion import wilson_interval
from tools.measure.evaluate_photos.answers import Answer, Outcome
from tools.report.score_report import bounds
from tools.report.text_table import format_table

EVERY, COVERED = "all", "covered"
"""Which photos a row is of: all that were asked, or those asked for a category of which the classes cover all."""


class Count(NamedTuple):
    """Of so many `photos`, those with a right detection, with one at its place too, and with one that is shown."""

    photos: int
    right: int
    placed: int
    shown: int


@dataclass(frozen=True, eq=False)
class PhotosReport:
    """What was asked: the answers for the `largest` object of photos, and for `any` object, at least one of either.

    `categories` are the names of the data set's, `kinds` what they stand for. So many of the `best` detections of a
    photo counted, and the detector shows those with a score of `shown_from` or more.
    """

    largest: Sequence[Answer]
    any: Sequence[Answer]
    categories: Sequence[str]
    kinds: KindsByCategory
    best: int
    shown_from: float

    @property
    def questions(self) -> dict[str, Sequence[Answer]]:
        """The answers by the name of the question."""
        return {"largest": self.largest, "any": self.any}

    def covered(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers for categories of which the classes cover all, others left out."""
        kept = [
            one._replace(outcomes=tuple(each for each in one.outcomes if self.kinds[each.category].complete))
            for one in answers
        ]
        return [one for one in kept if one.outcomes]

    def count(self, judged: Sequence[Answer] | Sequence[Outcome]) -> Count:
        """How many of the photos, or of a category's outcomes in photos, are right."""
        right = [one for one in judged if one.right]
        placed = sum(one.placed for one in right)
        return Count(len(judged), len(right), placed, sum(one.score >= self.shown_from for one in right))

    def by_category(self, answers: Sequence[Answer]) -> dict[int, Count]:
        """The counts of each category that is asked for, in the order of the data set."""
        outcomes = [outcome for one in answers for outcome in one.outcomes]
        categories = sorted({outcome.category for outcome in outcomes})
        return {category: self.count([one for one in outcomes if one.category == category]) for category in categories}

    def found(self, one: Answer) -> list[str]:
        """Names and scores of the detections of a photo that counted."""
        return [f"{name} {score:.2f}" for name, score in zip(one.best.names, one.best.scores.tolist(), strict=True)]


def format_report(report: PhotosReport) -> str:
    """What the tool prints: the shares with their intervals, then a line a category."""
    total = [["", "photos", "right", "share", f"{CONFIDENCE:.0%} interval", "placed", "shown"]]
    titles = {EVERY: "{} object", COVERED: "{} object, of a category all of whose kinds are classes"}
    for question, answers in report.questions.items():
        for which, chosen in ((EVERY, answers), (COVERED, report.covered(answers))):
            count = report.count(chosen)
            total.append([titles[which].format(question), str(count.photos), str(count.right), *_share(count)])
            total[-1] += [str(count.placed), str(count.shown)]
    counts = {question: report.by_category(answers) for question, answers in report.questions.items()}
    columns = list(Count._fields)
    table = [["category", "covered", "largest:", *columns, "any:", *columns]]
    for category in sorted(counts["largest"].keys() | counts["any"].keys()):
        covered = ALL if report.kinds[category].complete else SOME
        row = [report.categories[category], covered]
        for of_question in counts.values():
            row += ["", *map(str, of_question.get(category, Count(0, 0, 0, 0)))]
        table.append(row)
    notes = (
        f"right: a class of the category is among the {report.best} detections of the highest scores; placed: and "
        f"overlaps its object by an IoU of 0.5 or more;\nshown: and has a score of {report.shown_from:.4g} or more, "
        "from which the detector shows it"
    )
    return "\n\n".join([format_table(total), format_table(table), notes])


def format_misses(report: PhotosReport) -> str:
    """The photos without a right detection of any object asked for, and what was found instead."""
    missed = [one for one in _photos(report) if not one.right]
    lines = [f"{len(missed)} photos with nothing right:"]
    for one in missed:
        asked = ", ".join(report.categories[outcome.category] for outcome in one.outcomes)
        lines.append(f"  {one.record.path}: {asked}; found: {', '.join(report.found(one)) or 'nothing'}")
    return "\n".join(lines)


def as_json(report: PhotosReport) -> dict[str, Any]:
    """All figures, and each photo with its best detections."""
    return {
        "best": report.best,
        "shown_from": report.shown_from,
        "confidence": CONFIDENCE,
        "questions": {
            question: {
                EVERY: _figures(report.count(answers)),
                COVERED: _figures(report.count(report.covered(answers))),
                "categories": {
                    report.categories[category]: _figures(count)
                    for category, count in report.by_category(answers).items()
                },
                "photos": [_photo(report, one) for one in answers],
            }
            for question, answers in report.questions.items()
        },
    }


def _photos(report: PhotosReport) -> list[Answer]:
    """Each photo once, with what it is asked for: any object, or where those are too small the largest."""
    asked = {one.record.image_id for one in report.any}
    return [*report.any, *(one for one in report.largest if one.record.image_id not in asked)]


def _photo(report: PhotosReport, one: Answer) -> dict[str, Any]:
    return {
        "image_id": one.record.image_id,
        "file": str(one.record.path),
        "categories": [report.categories[outcome.category] for outcome in one.outcomes],
        "right": one.right,
        "placed": one.placed,
        "shown": one.right and one.score >= report.shown_from,
        "detections": one.best.to_dict(),
    }


def _figures(count: Count) -> dict[str, Any]:
    share = count.right / count.photos if count.photos else None
    return count._asdict() | {"share": share, "interval": bounds(wilson_interval(count.right, count.photos))}


def _share(count: Count) -> list[str]:
    if not count.photos:
        return ["-", "-"]
    low, high = wilson_interval(count.right, count.photos)
    return [f"{count.right / count.photos:.1%}", f"{low:.1%} to {high:.1%}"]
