"""The photos that a sheet shows, and their sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.datasets.category_kinds import Kinds
from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.results.drawing import draw_detections
from tools.command.output_file import OutputFile
from tools.command.picture_file import draw_fitted
from tools.measure.evaluate_photos.answers import Answer, Outcome
from tools.measure.evaluate_photos.report import PhotosReport
from tools.measure.evaluate_photos.sheet import CELL, choose, draw_sheet, write_sheet

CAT, DOG = range(2)


def answered(category: int, score: float, *, right: bool, placed: bool = False, path: str = "photo.png") -> Answer:
    """Return an answer with one detection, or without any if the score is 0."""
    count = 1 if score else 0
    record = GroundTruth(f"{category} {score}", Path(path), as_boxes([[0, 0, 9, 9]]), np.array([category], np.int64))
    best = Detections(as_boxes([[1, 1, 5, 5]] * count), np.full(count, score, np.float32), np.zeros(count, int), ("a",))
    return Answer(record, best, (Outcome(category, right, placed, score if right else 0),))


def report_of(*answers: Answer) -> PhotosReport:
    kinds = {category: Kinds(frozenset({0}), True) for category in (CAT, DOG)}
    return PhotosReport([], answers, ("cat", "dog"), kinds, best=3, shown_from=0.5)


def names(answers: list[Answer]) -> list[str]:
    return [answer.record.image_id for answer in answers]


def test_the_surest_come_first_and_categories_take_turns() -> None:
    found = [(CAT, 0.9), (CAT, 0.5), (DOG, 0.25), (CAT, 0.75)]
    right = [answered(category, score, right=True, placed=True) for category, score in found]
    wrong = [answered(category, score, right=False) for category, score in [(DOG, 0), *found]]
    chosen = choose([*right, *wrong], 5)
    in_turn = ["0 0.9", "1 0.25", "0 0.75", "0 0.5"]
    assert names(chosen[0]) == in_turn
    assert names(chosen[1]) == [*in_turn[:3], "1 0", "0 0.5"]
    assert [names(chosen) for chosen in choose([*right, *wrong], 2)] == [in_turn[:2]] * 2


def test_right_at_its_place_comes_before_surer_ones() -> None:
    answers = [answered(CAT, 0.9, right=True), answered(CAT, 0.5, right=True, placed=True)]
    assert names(choose(answers, 2)[0]) == ["0 0.5", "0 0.9"]


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((90, 120), (450, 600)), ((10, 5), (450, 225)), ((4, 600), (4, 600)), ((1, 2000), (1, 600)), ((999, 1), (450, 1))],
)
def test_photos_fit_their_cells(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert draw_fitted(np.zeros((*size, 3), np.uint8), answered(CAT, 0, right=False).best, CELL).shape == (*fitted, 3)


def test_boxes_grow_with_the_photo(photo_pixels: Image) -> None:
    """A photo of 160x120 pixels is enlarged by a factor of 3.75."""
    best = Detections(as_boxes([[40, 20, 80, 60]]), np.array([0.5], np.float32), np.array([0], np.int64), ("a",))
    larger = np.array(PIL.Image.fromarray(photo_pixels).resize(CELL, PIL.Image.Resampling.BICUBIC))
    expected = draw_detections(larger, Detections(best.boxes * 3.75, best.scores, best.labels, ("a",)))
    assert (draw_fitted(photo_pixels, best, CELL) == expected).all()


def test_long_text_stays_in_its_column(photo: Path) -> None:
    record = GroundTruth("1", photo, as_boxes([[0, 0, 9, 9]]), np.array([0], np.int64))
    best = Detections(as_boxes([[0, 0, 1, 1]]), np.array([0.5], np.float32), np.array([0], np.int64), ("long " * 99,))
    found = Answer(record, best, (Outcome(0, True, True, 0.5),))
    sheet = draw_sheet(report_of(found), [found], [])
    below = sheet[-50:]
    middle = sheet.shape[1] // 2
    assert (below[:, :middle] < 255).any()
    assert (below[:, middle:] == 255).all()


def test_missing_photo_is_named(tmp_path: Path) -> None:
    found = answered(CAT, 0.5, right=True, path=str(tmp_path / "gone.png"))
    with pytest.raises(InputError, match=r"gone\.png: expected a readable image"):
        write_sheet(OutputFile(tmp_path / "sheet.png", "test"), report_of(found), rows=1)


def test_sheet_that_cannot_be_written(tmp_path: Path, photo_pixels: Image) -> None:
    PIL.Image.fromarray(photo_pixels).save(tmp_path / "photo.png")
    found = answered(CAT, 0.5, right=True, path=str(tmp_path / "photo.png"))
    with pytest.raises(InputError, match=r"sheet\.png: expected a place to write to"):
        write_sheet(OutputFile(tmp_path / "photo.png" / "sheet.png", "test"), report_of(found), rows=1)
