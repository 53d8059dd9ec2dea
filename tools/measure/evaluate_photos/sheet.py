"""A picture of photos in two columns: on the left where the class was found, on the right where it was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont, ImageOps

from detection.cli.drawing import Colour, draw_detections
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.detections import Detections
from tools.measure.evaluate_photos.answers import Answer
from tools.measure.evaluate_photos.report import PhotosReport

CELL = (600, 450)
"""Width and height in pixels that a photo is made to fit."""
MARGIN = 16
LINE = 26
"""Height of a line of text."""
STEP = (CELL[0] + 2 * MARGIN, CELL[1] + 2 * LINE + 2 * MARGIN)
"""From one photo to the next: its two lines of text included."""
INK, RIGHT, WRONG = (40, 40, 40), (20, 120, 40), (180, 30, 30)


def write_sheet(path: Path, report: PhotosReport, *, rows: int) -> None:
    """Write the sheet of the photos that are asked for their largest object, for any where there are none.

    Raises:
        InputError: naming the photo that cannot be read, or the file if it cannot be written.
    """
    sheet = PIL.Image.fromarray(draw_sheet(report, *choose(report.largest or report.any, rows)))
    try:
        sheet.save(path)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to, got: {error.strerror or error}") from None


def choose(answers: Sequence[Answer], rows: int) -> tuple[list[Answer], list[Answer]]:
    """So many right and wrong photos: the surest, but no category comes again before each has come once.

    How sure a right one is says the score of its best right detection, and one at its place comes first; of a wrong one
    it is its best score.
    """
    right = sorted((one for one in answers if one.right), key=lambda one: (one.placed, one.score), reverse=True)
    wrong = [one for one in answers if not one.right]
    wrong.sort(key=lambda one: float(one.best.scores.max(initial=0)), reverse=True)
    return _spread(right)[:rows], _spread(wrong)[:rows]


def _spread(answers: Sequence[Answer]) -> list[Answer]:
    """The first of each category, then the second of each, and so on, otherwise in their order."""
    seen: Counter[int] = Counter()
    rounds = []
    for one in answers:
        category = one.outcomes[0].category
        rounds.append(seen[category])
        seen[category] += 1
    return [answers[index] for index in np.argsort(rounds, kind="stable")]


def draw_sheet(report: PhotosReport, right: Sequence[Answer], wrong: Sequence[Answer]) -> Image:
    """The sheet [H, W, 3]: a heading, then as many rows as the longer column has photos, each with what it shows.

    Raises:
        InputError: naming the photo that cannot be read.
    """
    rows = max(len(right), len(wrong))
    top = LINE + 2 * MARGIN
    canvas = PIL.Image.new("RGB", (2 * STEP[0], top + rows * STEP[1]), "white")
    count = report.count(report.largest or report.any)
    headings = (
        f"right class among the best {report.best}: {len(right)} of {count.right} such photos",
        f"no right class among the best {report.best}: {len(wrong)} of {count.photos - count.right}",
    )
    for column, (answers, heading, colour) in enumerate(zip((right, wrong), headings, (RIGHT, WRONG), strict=True)):
        left = column * STEP[0] + MARGIN
        _write(canvas, (left, MARGIN), heading, colour)
        for row, one in enumerate(answers):
            corner = (left, top + row * STEP[1])
            picture = PIL.Image.fromarray(draw_answer(read_image(one.record.path), one.best))
            canvas.paste(picture, corner)
            shown = ", ".join(report.categories[outcome.category] for outcome in one.outcomes)
            below = corner[1] + picture.height + MARGIN // 4
            _write(canvas, (left, below), f"annotated: {shown}", INK)
            _write(canvas, (left, below + LINE), f"found: {', '.join(report.found(one)) or 'nothing'}", colour)
    return np.array(canvas)


def draw_answer(image: Image, best: Detections) -> Image:
    """The photo as large as fits `CELL`, with its detections; drawn at that size, so that all text is equally large."""
    fitted = np.array(ImageOps.contain(PIL.Image.fromarray(image), CELL))
    scale = np.array([fitted.shape[1] / image.shape[1], fitted.shape[0] / image.shape[0]] * 2, np.float32)
    return draw_detections(fitted, Detections(best.boxes * scale, best.scores, best.labels, best.class_names))


def _write(canvas: PIL.Image.Image, corner: tuple[int, int], text: str, colour: Colour) -> None:
    """A line of text, cut where it would leave its column."""
    font = ImageFont.load_default(LINE - 8)
    shown = text
    while font.getlength(shown) > CELL[0] and len(text) > 1:
        text = text[:-1]
        shown = f"{text.rstrip()}..."
    ImageDraw.Draw(canvas).text(corner, shown, fill=colour, font=font)
