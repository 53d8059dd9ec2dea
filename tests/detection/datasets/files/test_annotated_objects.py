from __future__ import annotations

import re
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.datasets.files.annotated_objects import Corners, check_box
from detection.errors import InputError

SIZE = (100, 200)  # height, width


@pytest.mark.parametrize("corners", [(0, 0, 200, 100), (0.25, 99, 1, 100), (199, 0, 200, 0.5)])
def test_box_within_the_image_stays(corners: Corners) -> None:
    assert check_box(corners, SIZE, stated="") == corners


@pytest.mark.parametrize(
    ("corners", "clipped"),
    [
        ((-1, -1, 201, 101), (0, 0, 200, 100)),  # one pixel on every side is the limit
        ((-0.25, 3, 5, 6), (0, 3, 5, 6)),
        ((3, 3, 5, 100.75), (3, 3, 5, 100)),
    ],
)
def test_box_that_sticks_out_a_little_is_clipped(corners: Corners, clipped: Corners) -> None:
    assert check_box(corners, SIZE, stated="") == clipped


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ((nan, 0, 5, 5), "expected finite numbers"),
        ((0, 0, inf, 5), "expected finite numbers"),
        ((5, 0, 4, 5), "expected a box with a width and height above 0"),
        ((0, 7, 4, 7), "expected a box with a width and height above 0"),
        ((-1.01, 0, 4, 7), "expected a box within the image of 200x100 px"),
        ((0, -1.01, 4, 7), "expected a box within the image of 200x100 px"),
        ((0, 0, 201.01, 7), "expected a box within the image of 200x100 px"),
        ((0, 0, 4, 101.01), "expected a box within the image of 200x100 px"),
        ((-1, 0, 0, 7), "expected a box within the image of 200x100 px"),  # nothing is left of it
        ((0, 100, 4, 101), "expected a box within the image of 200x100 px"),
    ],
)
def test_unusable_box_is_quoted_as_it_was_stated(corners: Corners, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}, got what the file says$"):
        check_box(corners, SIZE, stated="what the file says")


@given(st.tuples(*[st.floats(-3, 204, width=32)] * 4))
def test_result_is_a_box_in_the_image_and_near_the_given_one(corners: Corners) -> None:
    try:
        x1, y1, x2, y2 = check_box(corners, SIZE, stated="")
    except InputError:
        return
    assert 0 <= x1 < x2 <= 200
    assert 0 <= y1 < y2 <= 100
    assert all(abs(before - after) <= 1 for before, after in zip(corners, (x1, y1, x2, y2), strict=True))
