"""`draw_detections`: the colours of classes, and boxes on images of any size."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from detection.configuration import read_class_names
from detection.structures.arrays import Image
from detection.structures.results.drawing import class_colour, draw_detections, pixel_boxes
from tests.detection.structures.results.drawing_examples import NAMES, detected, is_colour, one, photo


def test_the_colour_of_a_class_only_depends_on_its_label() -> None:
    assert class_colour(0) == class_colour(240) == (255, 64, 160)
    assert len({class_colour(label) for label in range(240)}) == 240
    image = photo(200, 200)
    few, all_classes = (detected([(50, 50, 150, 150)], [0.9], [1], NAMES[:count]) for count in (2, 3))
    np.testing.assert_array_equal(draw_detections(image, few), draw_detections(image, all_classes))


def test_classes_of_coco_are_told_apart() -> None:
    """People are often in photos with these objects, and objects of similar classes, with near labels, are together."""
    with_people = (
        "bicycle car motorcycle bus bench dog horse backpack umbrella handbag tie surfboard bottle cup chair tv"
    )
    names = read_class_names() or ()
    labels = [names.index(name) for name in with_people.split()]
    lab = rgb2lab(np.array([[class_colour(label) for label in range(80)]]) / 255)[0]
    first, second = np.triu_indices(80, 1)
    differences = deltaE_ciede2000(lab[first], lab[second])  # type: ignore[no-untyped-call]
    assert differences.min() > 8
    assert differences[second - first <= 12].min() > 11.5
    assert differences[(first == 0) & np.isin(second, labels)].min() > 18


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


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_what_is_no_image_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\], got"):
        draw_detections(image, one((0, 0, 5, 5)))
