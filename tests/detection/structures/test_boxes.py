from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from detection.structures.arrays import FloatArray
from detection.structures.boxes import (
    NEAR_IOU,
    as_boxes,
    box_area,
    box_iou,
    clip_boxes,
    neighbour_confidence,
    snap_boxes,
)

Box = tuple[int, int, int, int]


def naive_iou(box: Box, other: Box) -> float:
    """Compute the IoU by counting pixels; a pixel is the unit square that begins at its coordinates."""

    def pixels(x1: int, y1: int, x2: int, y2: int) -> set[tuple[int, int]]:
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    union = pixels(*box) | pixels(*other)
    return len(pixels(*box) & pixels(*other)) / len(union) if union else 0.0


def random_boxes(generator: np.random.Generator, count: int) -> list[Box]:
    """Return boxes with sides of 0 to 8 pixels."""
    corners = generator.integers(-6, 7, (count, 2))
    ends = corners + generator.integers(0, 9, (count, 2))
    return [(int(x1), int(y1), int(x2), int(y2)) for (x1, y1), (x2, y2) in zip(corners, ends, strict=True)]


def iou(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    return float(box_iou(as_boxes([box]), as_boxes([other]))[0, 0])


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float64, np.float32])
def test_any_numbers_become_float32(dtype: type[np.generic]) -> None:
    boxes = as_boxes(np.array([[1, 2, 3, 4], [0, 0, 200, 100]], dtype))
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[1, 2, 3, 4], [0, 0, 200, 100]]


def test_lists_become_boxes() -> None:
    boxes = as_boxes([(0.5, -3, 8, 9.25)])
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[0.5, -3, 8, 9.25]]


@pytest.mark.parametrize("empty", [[], (), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 4), np.int64)])
def test_no_boxes_have_the_shape_of_boxes(empty: FloatArray) -> None:
    boxes = as_boxes(empty)
    assert boxes.shape == (0, 4)
    assert boxes.dtype == np.float32


@pytest.mark.parametrize("shape", [(4,), (1, 3), (1, 5), (4, 1), (1, 1, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"boxes must have shape \[N, 4\], got ") as error:
        as_boxes(np.zeros(shape))
    assert str(error.value).endswith(f"got {list(shape)}")


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(column: int, value: float) -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    boxes[1, column] = value
    with pytest.raises(ValueError, match="boxes must be finite"):
        as_boxes(boxes)


def test_turned_boxes_are_refused_naming_the_first() -> None:
    with pytest.raises(ValueError, match=r"x1 <= x2 and y1 <= y2, got \[5\.0, 0\.0, 4\.5, 9\.0\] at 1$"):
        as_boxes([(0, 0, 1, 1), (5, 0, 4.5, 9), (0, 9, 1, 8)])
    with pytest.raises(ValueError, match=r"x1 <= x2 and y1 <= y2, got \[0\.0, 9\.0, 1\.0, 8\.0\] at 0$"):
        as_boxes([(0, 9, 1, 8)])


def test_sides_of_zero_are_allowed() -> None:
    assert as_boxes([(3, 4, 3, 9), (3, 4, 8, 4), (3, 4, 3, 4)]).tolist() == [[3, 4, 3, 9], [3, 4, 8, 4], [3, 4, 3, 4]]


def test_area_is_half_open() -> None:
    # 1 x 1; 3 x 20 from (-1, 5); half a pixel by 8; no width; no height.
    boxes = as_boxes([(0, 0, 1, 1), (-1, 5, 2, 25), (1, 1, 1.5, 9), (7, 0, 7, 9), (0, 7, 9, 7)])
    assert box_area(boxes).tolist() == [1, 60, 4, 0, 0]
    assert box_area(as_boxes([])).tolist() == []


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ((0, 0, 4, 4), (0, 0, 4, 4), 1),
        ((0, 0, 4, 4), (0, 0, 4, 2), 0.5),  # 8 of 16
        ((0, 0, 4, 4), (2, 2, 6, 6), 4 / 28),  # 2 x 2 shared of 16 + 16 - 4
        ((0, 0, 4, 2), (1, -1, 3, 3), 4 / 12),  # a cross: 2 x 2 shared of 8 + 8 - 4
        ((0, 0, 9, 9), (4, 4, 5, 5), 1 / 81),  # within
        ((0, 0, 4, 4), (4, 0, 8, 4), 0),  # a shared border is no overlap
        ((0, 0, 4, 4), (4, 4, 8, 8), 0),  # nor is a corner
        ((0, 0, 1, 1), (5, 7, 6, 8), 0),  # apart on both axes: the two negative sides must not make a positive area
        ((0, 0, 4, 4), (1, 6, 3, 8), 0),  # apart on one axis
        ((0, 0, 4, 4), (2, 0, 2, 4), 0),  # no width
        ((2, 2, 2, 2), (2, 2, 2, 2), 0),  # two without area, though equal
    ],
)
def test_iou(box: Box, other: Box, expected: float) -> None:
    assert iou(box, other) == np.float32(expected)
    assert iou(other, box) == np.float32(expected)


def test_iou_of_every_pair() -> None:
    # Rows 0-4 against rows 0-4, 2-6 (2 shared of 6) and 4-8; rows 2-6 share 2 of 6 with each of the outer two.
    boxes = as_boxes([(0, 0, 9, 4), (0, 2, 9, 6)])
    others = as_boxes([(0, 0, 9, 4), (0, 2, 9, 6), (0, 4, 9, 8)])
    third = float(np.float32(1 / 3))
    overlaps = box_iou(boxes, others)
    assert overlaps.dtype == np.float32
    assert overlaps.tolist() == [[1, third, 0], [third, 1, third]]


@pytest.mark.parametrize(("count", "other_count"), [(0, 0), (0, 3), (2, 0)])
def test_iou_without_boxes(count: int, other_count: int) -> None:
    boxes = as_boxes([(0, 0, 1, 1)] * count)
    assert box_iou(boxes, as_boxes([(0, 0, 1, 1)] * other_count)).shape == (count, other_count)


def test_iou_agrees_with_counting_pixels() -> None:
    generator = np.random.default_rng(0)
    boxes, others = random_boxes(generator, 60), random_boxes(generator, 50)
    expected = np.array([[naive_iou(box, other) for other in others] for box in boxes])
    # Areas are small whole numbers, so the quotient is the only rounding.
    assert box_iou(as_boxes(boxes), as_boxes(others)).tolist() == expected.astype(np.float32).tolist()
    assert 500 < (expected > 0).sum() < 2500  # of 3000: neither none nor all


def test_clipping_cuts_at_the_borders() -> None:
    # Size is height 10, width 20: x stops at 20, y at 10.
    boxes = as_boxes([(-5, -6, 30, 40), (1, 2, 19, 9), (0, 0, 20, 10), (-9, 3, -1, 4), (25, 12, 30, 15)])
    expected = [[0, 0, 20, 10], [1, 2, 19, 9], [0, 0, 20, 10], [0, 3, 0, 4], [20, 10, 20, 10]]
    clipped = clip_boxes(boxes, (10, 20))
    assert clipped.tolist() == expected
    assert clipped.dtype == np.float32
    assert boxes[0].tolist() == [-5, -6, 30, 40]


def test_clipping_boxes_of_each_class() -> None:
    boxes = np.array([[[-1, -1, 5, 5], [0, 0, 99, 1]], [[0, 0, 1, 99], [1, 1, 2, 2]]], np.float32)  # [N, C, 4]
    assert clip_boxes(boxes, (3, 4)).tolist() == [[[0, 0, 4, 3], [0, 0, 4, 1]], [[0, 0, 1, 3], [1, 1, 2, 2]]]


def test_clipping_no_boxes() -> None:
    assert clip_boxes(as_boxes([]), (3, 4)).shape == (0, 4)
    assert clip_boxes(np.zeros((0, 7, 4), np.float32), (3, 4)).shape == (0, 7, 4)


def test_snap_to_quarters_of_a_pixel_by_hand() -> None:
    boxes = as_boxes([[0, 0.12, 10.13, 20.5], [1.1, 2.4, 639.99999, 480]])
    snapped = snap_boxes(boxes, 4)
    assert snapped.dtype == np.float32
    assert snapped.tolist() == [[0, 0, 10.25, 20.5], [1, 2.5, 640, 480]]
    np.testing.assert_array_equal(snap_boxes(boxes + np.float32(1e-5), 4), snapped)
    assert snap_boxes(boxes[:0], 4).shape == (0, 4)


def test_neighbour_confidence_is_the_best_product_of_the_near_boxes() -> None:
    generator = np.random.default_rng(3)
    boxes, scored = (as_boxes(random_boxes(generator, count)) for count in (200, 60))
    probabilities = generator.random(60).astype(np.float32)
    overlaps = box_iou(boxes, scored)
    expected = [
        max((iou * value for iou, value in zip(row, probabilities, strict=True) if iou >= NEAR_IOU), default=0)
        for row in overlaps
    ]
    np.testing.assert_allclose(neighbour_confidence(boxes, scored, probabilities), expected, rtol=1e-6)
    assert min(expected) == 0
    assert max(expected) > 0.5


def test_neighbour_confidence_without_boxes() -> None:
    nothing, box = as_boxes([]), as_boxes([(0, 0, 1, 1)])
    assert neighbour_confidence(nothing, box, np.ones(1, np.float32)).tolist() == []
    assert neighbour_confidence(box, nothing, np.ones(0, np.float32)).tolist() == [0]


def test_neighbour_confidence_of_many_boxes_needs_little_memory() -> None:
    boxes, scored = as_boxes(np.zeros((20_000, 4))), as_boxes(np.zeros((100, 4)))
    tracemalloc.start()
    neighbour_confidence(boxes, scored, np.ones(100, np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(boxes) * len(scored)  # a quarter of the bytes of all IoUs
