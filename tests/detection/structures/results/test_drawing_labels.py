"""The labels of drawn boxes: their places, their texts and their contrast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import ImageFont

from detection.structures.arrays import IntArray
from detection.structures.boxes import box_iou
from detection.structures.results.drawing import class_colour, draw_detections, label_text, place_labels, text_colour
from tests.detection.structures.results.drawing_examples import detected, is_colour, one, photo

LABEL = (60, 18)


def placed(boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> list[list[int]]:
    labels: list[list[int]] = place_labels(np.array(boxes), np.array([LABEL] * len(boxes)), size).tolist()
    return labels


def luminance(colour: Sequence[int]) -> float:
    # WCAG 2.2, "relative luminance", channel by channel
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def overlaps(rectangles: IntArray) -> int:
    iou = box_iou(rectangles.astype(np.float32), rectangles.astype(np.float32))
    return int(np.count_nonzero(np.triu(iou, 1)))


@pytest.mark.parametrize("label", range(80))
def test_text_stands_out_from_its_label(label: int) -> None:
    colour = class_colour(label)
    bright, dark = sorted((luminance(colour), luminance(text_colour(colour))), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_text_is_black_or_white() -> None:
    assert text_colour((255, 255, 0)) == (0, 0, 0)
    assert text_colour((0, 0, 160)) == (255, 255, 255)


def test_a_label_above_leaves_the_inside_free() -> None:
    image = photo(480, 640)
    drawn = draw_detections(image, one((200, 150, 300, 250)))
    np.testing.assert_array_equal(drawn[153:247, 203:297], image[153:247, 203:297])
    np.testing.assert_array_equal(drawn[252:], image[252:])
    assert is_colour(drawn[:149], "cat").any()


def test_the_best_label_stays_whole_where_all_overlap() -> None:
    image = photo(64, 64)
    crowd = detected([(0, 0, 64, 64)] * 12, [0.3] * 11 + [0.87], [0] * 11 + [1])
    alone = draw_detections(image, one((0, 0, 64, 64), "dog"))
    np.testing.assert_array_equal(draw_detections(image, crowd)[:11, :30], alone[:11, :30])


@pytest.mark.parametrize("size", [(64, 64), (480, 640), (3000, 4000)])
def test_letters_lie_inside_their_label(size: tuple[int, int]) -> None:
    height, width = size
    box = (0, height // 2, width, height)
    drawn = draw_detections(np.full((height, width, 3), 128, np.uint8), one(box, "pig"))[: height // 2 - 1]
    label_rows, label_columns = np.nonzero(is_colour(drawn, "pig"))
    letter_rows, letter_columns = np.nonzero((drawn < 40).all(axis=-1))
    height_of_label = label_rows.max() - label_rows.min()
    assert label_rows.min() < letter_rows.min() < label_rows.min() + height_of_label / 4
    assert label_rows.max() - height_of_label / 4 < letter_rows.max() <= label_rows.max()
    assert label_columns.min() < letter_columns.min() < letter_columns.max() <= label_columns.max()


def test_a_long_name_leaves_most_of_the_picture_free() -> None:
    drawn = is_colour(draw_detections(photo(480, 1000), one((10, 100, 20, 110), "long " * 100)), "long " * 100)
    assert 200 < np.flatnonzero(drawn.any(axis=0)).max() < 400


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((100, 100, 200, 180), [100, 82, 160, 100]),  # above, flush with the box
        ((100, 18, 200, 180), [100, 0, 160, 18]),  # just room above
        ((100, 17, 200, 180), [100, 180, 160, 198]),  # else below
        ((250, 100, 290, 180), [230, 82, 290, 100]),  # above, against the right edge
        ((100, 0, 150, 240), [150, 0, 210, 18]),  # the picture's full height: beside
        ((0, 0, 300, 240), [0, 0, 60, 18]),  # the whole picture: inside
        ((20, 5, 290, 235), [20, 5, 80, 23]),  # almost: inside rather than astride the line
    ],
)
def test_where_the_label_of_a_lone_box_goes(box: tuple[int, ...], expected: list[int]) -> None:
    assert placed([box], (240, 300)) == [expected]


def test_a_label_avoids_another_box() -> None:
    assert placed([(100, 100, 200, 180), (90, 20, 210, 99)], (240, 300))[0] == [100, 180, 160, 198]


def test_a_label_does_not_hide_a_small_box() -> None:
    assert placed([(100, 100, 200, 180), (110, 90, 115, 95)], (240, 300))[0] == [140, 82, 200, 100]


def test_labels_touch_their_box_while_there_is_room() -> None:
    assert placed([(100, 100, 200, 180)] * 7, (240, 300)) == [
        [100, 82, 160, 100],  # above
        [100, 180, 160, 198],  # below
        [200, 100, 260, 118],  # beside
        [40, 100, 100, 118],
        [200, 162, 260, 180],
        [40, 162, 100, 180],
        [100, 64, 160, 82],  # a row away, rather than on what it names
    ]


def test_labels_of_one_place_do_not_hide_each_other() -> None:
    labels = np.array(placed([(100, 100, 200, 180)] * 12, (240, 300)))
    assert overlaps(labels) == 0


@pytest.mark.parametrize("seed", range(10))
def test_labels_of_a_crowd_stay_apart_and_within_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, (600, 440), (25, 2))
    boxes = np.hstack([corners, np.minimum(corners + rng.integers(1, 200, (25, 2)), (640, 480))])
    labels = place_labels(boxes, rng.integers((30, 18), (120, 19), (25, 2)), (480, 640))
    assert overlaps(labels) == 0
    assert (labels[:, :2] >= 0).all()
    assert (labels[:, 2:] <= (640, 480)).all()


def test_a_label_left_out_hides_nothing() -> None:
    boxes = np.array([(100, 100, 200, 180)] * 2)
    assert place_labels(boxes, np.array([(0, 0), LABEL]), (240, 300))[1].tolist() == [100, 82, 160, 100]
    assert place_labels(boxes[:0], np.zeros((0, 2), np.int64), (240, 300)).shape == (0, 4)


@pytest.mark.parametrize("name", ["café", "猫", "кот", "🐈", "a\nb", "", "\ud800", "n" * 1000])
def test_any_name_can_be_drawn(name: str) -> None:
    drawn = draw_detections(photo(240, 320), one((40, 60, 200, 200), name))
    assert is_colour(drawn, name)[60:200, 40].all()
    assert is_colour(drawn, name)[:59].any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cat", "cat 0.87"), ("wine bottle", "wine bottle 0.87"), ("", "0.87")],
)
def test_label_text(name: str, expected: str) -> None:
    assert label_text(name, 0.8712, ImageFont.load_default(15), 200) == expected


def test_a_long_name_is_cut_to_the_width() -> None:
    font = ImageFont.load_default(15)
    text = label_text("golden retriever", 0.87, font, 120)
    assert text.startswith("golden")
    assert text.endswith("… 0.87")
    assert 100 < font.getlength(text) <= 120
    assert label_text("golden retriever", 0.87, font, font.getlength("gol… 0.87")) == "gol… 0.87"
    assert label_text("golden retriever", 0.87, font, font.getlength("gol… 0.87") - 1) == ""
