"""The figures of `detect-evaluate-photos`: as printed tables, and as a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from detection.datasets.category_kinds import ALL, SOME, KindsByCategory
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE
from detection.evaluation.uncertainty.proportion import wilson_interval
from tools.measure.evaluate_photos.answers import Answer, Outcome
from tools.report.json_values import json_interval
from tools.report.text_table import format_table

EVERY, COVERED = "all", "covered"
"""The two kinds of rows: all answers, or only those for categories all of whose kinds are classes."""


class Count(NamedTuple):
    """The numbers of photos: all, with a right detection, with one in the right place, and with one that is shown."""

    photos: int
    right: int
    placed: int
    shown: int


@dataclass(frozen=True, eq=False)
class PhotosReport:
    """The answers to the question about the `largest` object of photos and to that about `any` object.

    At least one of both has answers. `categories` are the names of the data set's categories, and `kinds` the classes
    that they stand for. The `best` detections of each photo counted; the detector shows scores from `shown_from` on.
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
        """Return the answers without the categories that have other kinds than the classes."""
        kept = []
        for answer in answers:
            outcomes = tuple(outcome for outcome in answer.outcomes if self.kinds[outcome.category].complete)
            kept += [answer._replace(outcomes=outcomes)] if outcomes else []
        return kept

    def count(self, judged: Sequence[Answer] | Sequence[Outcome]) -> Count:
        """Count the photos, or the outcomes of one category in them."""
        right = [item for item in judged if item.right]
        placed = sum(item.placed for item in right)
        return Count(len(judged), len(right), placed, sum(item.score >= self.shown_from for item in right))

    def silent(self, answers: Sequence[Answer]) -> int:
        """Count the photos of which the detector shows nothing, because no detection reaches its threshold."""
        return sum(not (answer.best.scores >= self.shown_from).any() for answer in answers)

    def by_category(self, answers: Sequence[Answer]) -> dict[int, Count]:
        """Return the counts of each category in the answers, in the order of the data set."""
        outcomes: dict[int, list[Outcome]] = {}
        for answer in answers:
            for outcome in answer.outcomes:
                outcomes.setdefault(outcome.category, []).append(outcome)
        return {category: self.count(outcomes[category]) for category in sorted(outcomes)}

    def names(self, answer: Answer) -> str:
        """Return the names of the categories that a photo was asked for."""
        return ", ".join(self.categories[outcome.category] for outcome in answer.outcomes)


def name_detections(answer: Answer) -> str:
    """Return the names and scores of the detections of a photo that counted."""
    best = answer.best
    return ", ".join(f"{name} {score:.2f}" for name, score in zip(best.names, best.scores, strict=True)) or "nothing"


def format_report(report: PhotosReport) -> str:
    """Return what the command prints: the shares with their intervals, then a line for each category."""
    total = [["", "photos", "right", "share", f"{CONFIDENCE:.0%} interval", "placed", "shown", "nothing shown"]]
    titles = {EVERY: "{} object", COVERED: "{} object, of a category all of whose kinds are classes"}
    for question, answers in report.questions.items():
        for row_kind, chosen in ((EVERY, answers), (COVERED, report.covered(answers))):
            count = report.count(chosen)
            figures = [count.photos, count.right, *_share(count), count.placed, count.shown, report.silent(chosen)]
            total.append([titles[row_kind].format(question), *map(str, figures)])
    counts = {question: report.by_category(answers) for question, answers in report.questions.items()}
    columns = list(Count._fields)
    table = [["category", "covered", "largest:", *columns, "any:", *columns]]
    for category in sorted(counts["largest"].keys() | counts["any"].keys()):
        row = [report.categories[category], ALL if report.kinds[category].complete else SOME]
        for by_category in counts.values():
            row += ["", *map(str, by_category.get(category, Count(0, 0, 0, 0)))]
        table.append(row)
    notes = (
        f"right: a class of the category is among the {report.best} detections of the highest scores; placed: and "
        f"overlaps its object by an IoU of 0.5 or more;\nshown: and has a score of {report.shown_from:.4g} or more, "
        "from which the detector shows it;\nnothing shown: no detection of the photo, right or wrong, has such a score"
    )
    return "\n\n".join([format_table(total), format_table(table), notes])


def format_misses(report: PhotosReport) -> str:
    """Return a line for each photo without a right answer to either question, with its detections."""
    # The question about any object also covers the largest one, unless that is too small.
    asked = {answer.record.image_id for answer in report.any}
    photos = [*report.any, *(answer for answer in report.largest if answer.record.image_id not in asked)]
    missed = [answer for answer in photos if not answer.right]
    lines = [f"  {item.record.path}: {report.names(item)}; found: {name_detections(item)}" for item in missed]
    return "\n".join([f"{len(missed)} photos with nothing right:", *lines])


def as_json(report: PhotosReport) -> dict[str, Any]:
    """Return all figures, and each photo with its best detections, as a dictionary for JSON."""
    questions = {}
    for question, answers in report.questions.items():
        by_category = report.by_category(answers).items()
        questions[question] = {
            **{
                row_kind: _figures(report.count(chosen)) | {"nothing_shown": report.silent(chosen)}
                for row_kind, chosen in ((EVERY, answers), (COVERED, report.covered(answers)))
            },
            "categories": {report.categories[category]: _figures(count) for category, count in by_category},
            "photos": [_photo(report, answer) for answer in answers],
        }
    return {
        "best": report.best,
        "shown_from": report.shown_from,
        "confidence": CONFIDENCE,
        "questions": questions,
    }


def _photo(report: PhotosReport, answer: Answer) -> dict[str, Any]:
    return {
        "image_id": answer.record.image_id,
        "file": str(answer.record.path),
        "categories": [report.categories[outcome.category] for outcome in answer.outcomes],
        "right": answer.right,
        "placed": answer.placed,
        "shown": answer.right and answer.score >= report.shown_from,
        "detections": answer.best.to_dict(),
    }


def _figures(count: Count) -> dict[str, Any]:
    share = count.right / count.photos if count.photos else None
    return count._asdict() | {"share": share, "interval": json_interval(wilson_interval(count.right, count.photos))}


def _share(count: Count) -> list[str]:
    if not count.photos:
        return ["-", "-"]
    low, high = wilson_interval(count.right, count.photos)
    return [f"{count.right / count.photos:.1%}", f"{low:.1%} to {high:.1%}"]
