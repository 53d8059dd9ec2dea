"""A picture of photos in two columns: right answers on the left, wrong answers on the right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.results.drawing import Colour
from tools.command.output_file import OutputFile
from tools.command.picture_file import draw_fitted, save_picture
from tools.measure.evaluate_photos.answers import Answer
from tools.measure.evaluate_photos.report import PhotosReport, name_detections

CELL = (600, 450)
"""The width and height of the space for a photo, in pixels."""
MARGIN = 16
LINE = 26
"""The height of a line of text, in pixels."""
STEP = (CELL[0] + 2 * MARGIN, CELL[1] + 2 * LINE + 2 * MARGIN)
"""The distance from one photo to the next, with its two lines of text."""
INK, RIGHT, WRONG = (40, 40, 40), (20, 120, 40), (180, 30, 30)


def write_sheet(file: OutputFile, report: PhotosReport, *, rows: int) -> None:
    """Write the sheet of the answers about the largest object, or about any object if there are none.

    Raises:
        InputError: naming the photo that cannot be read, or the file if it cannot be written.
    """
    sheet = PIL.Image.fromarray(draw_sheet(report, *choose(report.largest or report.any, rows)))
    save_picture(sheet, file)


def choose(answers: Sequence[Answer], rows: int) -> tuple[list[Answer], list[Answer]]:
    """Return the first `rows` right and wrong answers by their scores, with the categories taking turns.

    A right answer has the score of its best right detection, and answers in the right place come first; a wrong answer
    has the score of its best detection. No category comes again before each has come once.
    """
    right = sorted((item for item in answers if item.right), key=lambda item: (item.placed, item.score), reverse=True)
    wrong = [item for item in answers if not item.right]
    wrong.sort(key=lambda item: float(item.best.scores.max(initial=0)), reverse=True)
    return _spread(right)[:rows], _spread(wrong)[:rows]


def _spread(answers: Sequence[Answer]) -> list[Answer]:
    """Return the first answer of each category, then the second of each, and so on, otherwise in the same order."""
    seen: Counter[int] = Counter()
    rounds = []
    for answer in answers:
        category = answer.outcomes[0].category
        rounds.append(seen[category])
        seen[category] += 1
    return [answers[index] for index in np.argsort(rounds, kind="stable")]


def draw_sheet(report: PhotosReport, right: Sequence[Answer], wrong: Sequence[Answer]) -> Image:
    """Draw the sheet [H, W, 3]: a heading for each column, then the photos with their categories and detections.

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
        for row, answer in enumerate(answers):
            corner = (left, top + row * STEP[1])
            picture = PIL.Image.fromarray(draw_fitted(read_image(answer.record.path), answer.best, CELL))
            canvas.paste(picture, corner)
            below = corner[1] + picture.height + MARGIN // 4
            _write(canvas, (left, below), f"annotated: {report.names(answer)}", INK)
            _write(canvas, (left, below + LINE), f"found: {name_detections(answer)}", colour)
    return np.array(canvas)


def _write(canvas: PIL.Image.Image, corner: tuple[int, int], text: str, colour: Colour) -> None:
    """Write a line of text, which is cut if it does not fit into its column."""
    font = ImageFont.load_default(LINE - 8)
    shown = text
    while font.getlength(shown) > CELL[0] and len(text) > 1:
        text = text[:-1]
        shown = f"{text.rstrip()}..."
    ImageDraw.Draw(canvas).text(corner, shown, fill=colour, font=font)
