from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import ImageFont
from skimage.color import deltaE_ciede2000, rgb2lab

from detection.arrays import Image, IntArray
from detection.boxes import box_iou
from detection.detections import Detections
from detection.drawing import class_colour, draw_detections, label_text, pixel_boxes, place_labels, text_colour

NAMES = ("cat", "dog", "person")
VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
LABEL = (60, 18)


def photo(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def detected(
    boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int], names: Sequence[str] = NAMES
) -> Detections:
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels), tuple(names))


def one(box: Sequence[float], name: str = "cat") -> Detections:
    return detected([box], [0.87], [0], [name])


def placed(boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> list[list[int]]:
    labels: list[list[int]] = place_labels(np.array(boxes), np.array([LABEL] * len(boxes)), size).tolist()
    return labels


def is_colour(image: Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (image == class_colour(name)).all(axis=-1)
    return mask


def luminance(colour: Sequence[int]) -> float:
    # WCAG 2.2, "relative luminance", channel by channel
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def overlaps(rectangles: IntArray) -> int:
    iou = box_iou(rectangles.astype(np.float32), rectangles.astype(np.float32))
    return int(np.count_nonzero(np.triu(iou, 1)))


def test_the_colour_of_a_name_is_the_same_for_ever() -> None:
    assert class_colour("person") == (252, 69, 165)
    assert class_colour("猫") == (234, 56, 219)


def test_classes_of_voc_are_told_apart() -> None:
    lab = rgb2lab(np.array([[class_colour(name) for name in VOC.split()]]) / 255)[0]
    first, second = np.triu_indices(20, 1)
    assert deltaE_ciede2000(lab[first], lab[second]).min() > 9  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("number", range(200))
def test_text_stands_out_from_its_label(number: int) -> None:
    colour = class_colour(f"class {number}")
    bright, dark = sorted((luminance(colour), luminance(text_colour(colour))), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_text_is_black_or_white() -> None:
    assert text_colour((255, 255, 0)) == (0, 0, 0)
    assert text_colour((0, 0, 160)) == (255, 255, 255)


def test_the_input_is_left_as_it_was() -> None:
    image = photo(120, 160)
    before = image.copy()
    drawn = draw_detections(image, one((40, 40, 120, 100)))
    np.testing.assert_array_equal(image, before)
    assert drawn.dtype == np.uint8
    assert drawn.shape == image.shape
    assert drawn.flags.writeable
    assert (drawn != image).any()


@pytest.mark.parametrize("size", [(120, 160), (0, 160), (1, 1)])
def test_nothing_detected_gives_an_equal_copy(size: tuple[int, int]) -> None:
    image = photo(*size)
    drawn = draw_detections(image, detected([], [], []))
    np.testing.assert_array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


def test_the_line_lies_on_the_outermost_pixels_of_the_half_open_box() -> None:
    drawn = is_colour(draw_detections(photo(480, 640), one((200, 150, 300, 250))), "cat")
    assert drawn[150:250, [200, 299]].all()
    assert drawn[[150, 249], 200:300].all()
    assert not drawn[150:250, [199, 300]].any()
    assert not drawn[250, 200:300].any()


def test_a_label_above_leaves_the_inside_free() -> None:
    image = photo(480, 640)
    drawn = draw_detections(image, one((200, 150, 300, 250)))
    np.testing.assert_array_equal(drawn[153:247, 203:297], image[153:247, 203:297])
    np.testing.assert_array_equal(drawn[252:], image[252:])
    assert is_colour(drawn[:149], "cat").any()


def test_a_box_over_the_border_is_cut_there() -> None:
    drawn = is_colour(draw_detections(photo(480, 640), one((-50, 300, 100, 900))), "cat")
    assert drawn[300:480, [0, 99]].all()
    assert drawn[[300, 479], 0:100].all()


def test_lines_and_letters_grow_with_the_picture() -> None:
    def thickness_and_label(height: int, width: int) -> tuple[int, int]:
        box = (width // 2, height // 2, width - 1, height - 1)
        drawn = is_colour(draw_detections(np.zeros((height, width, 3), np.uint8), one(box)), "cat")
        rows_above = np.flatnonzero(drawn[: height // 2].any(axis=1))
        return int(drawn[height * 3 // 4].sum()) // 2, len(rows_above)

    thumbnail, screen, camera = (thickness_and_label(*size) for size in ((64, 64), (480, 640), (3000, 4000)))
    assert thumbnail[0] == 1
    assert thumbnail[0] < screen[0] < camera[0]
    assert 9 <= thumbnail[1] < screen[1] < camera[1]


def test_a_picture_too_small_for_text_gets_boxes_alone() -> None:
    image = photo(24, 100)
    drawn = draw_detections(image, one((2, 12, 98, 22)))
    np.testing.assert_array_equal(drawn[:11], image[:11])
    np.testing.assert_array_equal(drawn[14:20, 4:96], image[14:20, 4:96])
    assert is_colour(drawn, "cat")[12, 2:98].all()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_best_lies_on_top_in_whatever_order_they_come(order: list[int]) -> None:
    image = photo(200, 200)
    detections = detected([(50, 50, 150, 150)] * 2 + [(60, 40, 160, 140)], [0.4, 0.9, 0.6], [0, 1, 2])
    drawn = draw_detections(image, detections[order])
    assert is_colour(drawn, "dog")[50:150, 50].all()
    np.testing.assert_array_equal(drawn, draw_detections(image, detections))


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


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10.4, 20.6, 30.4, 40.6), [10, 21, 30, 41]),
        ((5, 5, 5, 5), [5, 5, 6, 6]),  # without area: a pixel
        ((100, 80, 100, 80), [99, 79, 100, 80]),
        ((-30, -30, -10, -10), [0, 0, 1, 1]),  # outside: the nearest pixel
        ((300, 10, 400, 20), [99, 10, 100, 20]),
    ],
)
def test_boxes_in_whole_pixels(box: tuple[float, ...], expected: list[int]) -> None:
    assert pixel_boxes(np.array([box], np.float32), (80, 100)).tolist() == [expected]


@pytest.mark.parametrize("box", [(50, 50, 50, 50), (50, 50, 50, 90), (199, 199, 200, 200), (200, 200, 200, 200)])
def test_a_box_without_inside_is_a_mark(box: tuple[int, ...]) -> None:
    drawn = is_colour(draw_detections(photo(200, 200), one(box)), "cat")
    assert drawn[min(box[1], 199), min(box[0], 199)]


def test_a_picture_of_one_pixel_takes_the_colour() -> None:
    assert is_colour(draw_detections(photo(1, 1), one((0, 0, 1, 1))), "cat").all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_stays_so(size: tuple[int, int]) -> None:
    assert draw_detections(photo(*size), one((0, 0, 5, 5))).shape == (*size, 3)


def test_a_thick_line_stays_within_a_thin_box() -> None:
    drawn = is_colour(draw_detections(np.zeros((2000, 2000, 3), np.uint8), one((500, 500, 503, 1500))), "cat")
    assert np.flatnonzero(drawn[1000]).tolist() == [500, 501, 502]


@pytest.mark.parametrize("name", ["café", "猫", "кот", "🐈", "a\nb", "", "\ud800", "n" * 1000])
def test_any_name_can_be_drawn(name: str) -> None:
    drawn = draw_detections(photo(240, 320), one((40, 60, 200, 200), name))
    assert is_colour(drawn, name)[60:200, 40].all()
    assert is_colour(drawn, name)[:59].any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat 0.87"),
        ("Café Zoë", "Cafe Zoe 0.87"),
        ("猫 cat", "? cat 0.87"),
        ("wine \n bottle", "wine bottle 0.87"),
        ("", "0.87"),
    ],
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


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_what_is_no_image_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\], got"):
        draw_detections(image, one((0, 0, 5, 5)))
