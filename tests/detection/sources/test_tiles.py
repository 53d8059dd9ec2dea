"""Proposals of overlapping tiles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from detection.configuration import load_detector
from detection.sources import tiles
from detection.sources.tiles import DUPLICATE_IOU, TiledProposer, is_cut_off, tile_windows
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes, box_iou
from detection.structures.contracts import Proposals


class Bright:
    """A proposer that finds the box of the bright pixels of a picture, as long as they are large enough to see."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, image: Image) -> Proposals:
        self.sizes.append((image.shape[1], image.shape[0]))
        rows, columns = np.nonzero(image[..., 0] > 200)
        if len(rows) < 0.01 * image.shape[0] * image.shape[1]:
            return Proposals(as_boxes([]), np.zeros(0, np.float32))
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Proposals(as_boxes([box]), np.ones(1, np.float32))


def tiled(tile: int, overlap: float = 0.2) -> TiledProposer:
    return TiledProposer(Bright(), tile, overlap)


def picture(*boxes: tuple[int, int, int, int], width: int = 1000, height: int = 600) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def test_a_small_object_is_found_in_a_tile() -> None:
    small = (700, 450, 730, 480)
    assert len(Bright()(picture(small))) == 0
    np.testing.assert_array_equal(tiled(200)(picture(small)).boxes, [small])


def test_boxes_of_several_tiles_and_of_the_whole_are_kept_once() -> None:
    large = (180, 180, 420, 420)
    found = tiled(500)(picture(large))
    np.testing.assert_array_equal(found.boxes, [large])
    assert len(found.scores) == 1


def test_the_best_boxes_of_all_tiles_come_first() -> None:
    found = Proposals(as_boxes([(5, 5, 20, 20), (50, 5, 70, 20)]), np.array([0.9, 0.1]))
    boxes = TiledProposer(lambda _: found, 100, 0)(picture(width=200, height=100)).boxes
    # The whole picture, whose boxes the first tile repeats, and the second tile, which begins at column 100.
    np.testing.assert_array_equal(boxes, [(5, 5, 20, 20), (105, 5, 120, 20), (50, 5, 70, 20), (150, 5, 170, 20)])


def test_naive_comparison_with_all_earlier_boxes() -> None:
    """Boxes of a coarse grid, of which many are equal; some lie outside of the picture."""
    generator = np.random.default_rng(0)
    corners = generator.integers(-2, 6, (12, 40, 2)) * 20
    drawn = [as_boxes([]), *map(as_boxes, np.concatenate([corners, corners + 20], axis=2))]
    coming = (Proposals(part, np.ones(len(part), np.float32)) for part in drawn)
    image = picture(width=300, height=200)
    proposals = TiledProposer(lambda _: next(coming), 100, 0.2)(image)

    kept = [drawn[0]]
    for part, tile in zip(drawn[1:], tile_windows(300, 200, 100, 0.2), strict=True):
        boxes = part + np.array([*tile[:2]] * 2, np.float32)
        boxes = boxes[~is_cut_off(boxes, tile, (200, 300))]
        kept.append(boxes[box_iou(boxes, np.concatenate(kept)).max(axis=1, initial=0) <= DUPLICATE_IOU])
    expected = np.concatenate(kept)
    assert 100 < len(expected) < 400
    np.testing.assert_array_equal(np.unique(proposals.boxes, axis=0), np.unique(expected, axis=0))
    assert len(proposals) == len(expected)


def test_a_tile_is_compared_only_with_boxes_that_it_overlaps(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counting(boxes: FloatArray, others: FloatArray) -> FloatArray:
        compared.append(len(others))
        return box_iou(boxes, others)

    monkeypatch.setattr(tiles, "box_iou", counting)
    inner = Proposals(as_boxes([(40, 40, 60, 60)]), np.ones(1, np.float32))
    assert len(TiledProposer(lambda _: inner, 100, 0)(picture(width=300, height=200))) == 6
    assert compared == [1, 0, 0, 0, 0, 0]  # the whole picture has the box of the first tile


def test_boxes_that_a_tile_cuts_off_are_left_out() -> None:
    across = (480, 280, 520, 320)
    # Without an overlap every tile shows half of it; with one, a tile shows all of it.
    boxes = tiled(500, 0)(picture(across)).boxes
    assert len(boxes) == 0
    np.testing.assert_array_equal(tiled(300, 0.3)(picture(across)).boxes, [across])


def test_an_object_at_the_border_of_the_picture_is_not_cut_off() -> None:
    corner = (0, 560, 40, 600)
    np.testing.assert_array_equal(tiled(200)(picture(corner)).boxes, [corner])


def test_a_picture_that_is_no_larger_than_a_tile_has_none() -> None:
    proposer = Bright()
    TiledProposer(proposer, 1000, 0.2)(picture())
    assert proposer.sizes == [(1000, 600)]


@pytest.mark.parametrize(
    ("width", "height", "tile", "overlap"), [(1000, 600, 300, 0.2), (801, 50, 200, 0.0), (301, 302, 300, 0.5)]
)
def test_tiles_cover_the_picture_and_overlap(width: int, height: int, tile: int, overlap: float) -> None:
    covered = np.zeros((height, width), int)
    windows = list(tile_windows(width, height, tile, overlap))
    for left, top, right, bottom in windows:
        assert right - left == min(tile, width)
        assert bottom - top == min(tile, height)
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    lefts = sorted({window[0] for window in windows})
    assert all(after - before <= tile * (1 - overlap) + 1 for before, after in pairwise(lefts))


def test_no_tile_is_repeated() -> None:
    windows = list(tile_windows(20, 1, 4, 0.9))
    assert windows == [(left, 0, left + 4, 1) for left in range(17)]


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0.2), (100, 0.91), (100, -0.1), (100, float("nan"))])
def test_arguments_out_of_range(tile: int, overlap: float) -> None:
    with pytest.raises(ValueError, match="expected a tile above 0"):
        TiledProposer(Bright(), tile, overlap)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"overlap": 0.3}, "overlap: expected a tile too"), ({"tile": 10}, "tile: expected at least 64 pixels, got 10")],
)
def test_tiles_that_a_detector_cannot_have(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_detector(**options)
