"""The test crops of AlexNet and GoogLeNet, derived by hand and compared with the papers' way of cutting them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier.warp.crop import warp_regions
from classifier.whole_images.crops import Crops, cut_crops, evaluation_crops

CPU = torch.device("cpu")
LANDSCAPE, PORTRAIT, SQUARE = (256, 512), (512, 256), (256, 256)
SIZES = [LANDSCAPE, PORTRAIT, SQUARE, (375, 500), (1, 1), (7, 3), (2999, 1333)]


def rows(crops: Crops) -> set[tuple[float, ...]]:
    return {(*map(float, box), bool(mirror)) for box, mirror in zip(crops.boxes, crops.mirrored, strict=True)}


@pytest.mark.parametrize("count", [1, 10, 144])
@pytest.mark.parametrize("size", SIZES)
def test_crops_have_the_right_count_and_are_inside_the_image(size: tuple[int, int], count: int) -> None:
    boxes, mirrored = evaluation_crops(size, count)
    assert boxes.shape == (count, 4)
    assert boxes.dtype == np.float32
    assert mirrored.shape == (count,)
    assert mirrored.dtype == np.bool_
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [size[1], size[0]]).all()
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1], rtol=1e-4)  # squares


def test_one_crop_is_the_centre() -> None:
    # The short side is 256 already, so the crop is 224 wide, with 16 to spare on both sides of the central square.
    assert rows(evaluation_crops(LANDSCAPE, 1)) == {(128 + 16, 16, 128 + 240, 240, False)}
    assert rows(evaluation_crops(PORTRAIT, 1)) == {(16, 128 + 16, 240, 128 + 240, False)}
    assert rows(evaluation_crops((64, 64), 1)) == {(4, 4, 60, 60, False)}  # 7/8 of 64 is 56


@pytest.mark.parametrize(("size", "left", "top"), [(LANDSCAPE, 128, 0), (PORTRAIT, 0, 128), (SQUARE, 0, 0)])
def test_ten_crops_are_centre_and_corners_of_the_central_square(size: tuple[int, int], left: int, top: int) -> None:
    starts = [(16, 16), (0, 0), (32, 0), (0, 32), (32, 32)]
    boxes = {(left + x, top + y, left + x + 224, top + y + 224) for x, y in starts}
    assert rows(evaluation_crops(size, 10)) == {(*box, mirror) for box in boxes for mirror in (False, True)}


def test_left_top_corners_of_144_crops() -> None:
    # At scale 320 the crop is 224/320 = 0.7 of the short side. Short side 320: 224 wide, 96 to spare, 48 on each
    # side of the centre. Long side 640: squares start at 0, 160 and 320.
    boxes = evaluation_crops((320, 640), 144).boxes
    at_scale = {(float(x1), float(y1)) for x1, y1, x2, _ in boxes if x2 - x1 == 224}
    inside = {(0, 0), (96, 0), (0, 96), (96, 96), (48, 48)}
    assert at_scale == {(square + x, y) for square in (0, 160, 320) for x, y in inside}
    tall = evaluation_crops((640, 320), 144).boxes
    at_scale = {(float(x1), float(y1)) for x1, y1, x2, _ in tall if x2 - x1 == 224}
    assert at_scale == {(x, square + y) for square in (0, 160, 320) for x, y in inside}


@pytest.mark.parametrize("size", [LANDSCAPE, PORTRAIT, (375, 500)])
def test_144_crops_have_four_sides_and_the_whole_squares(size: tuple[int, int]) -> None:
    boxes = evaluation_crops(size, 144).boxes
    widths, counts = np.unique((boxes[:, 2] - boxes[:, 0]).round(2), return_counts=True)
    short = min(size)
    np.testing.assert_allclose(widths, [short * 224 / 352, short * 0.7, short * 7 / 9, short * 7 / 8, short], atol=0.01)
    assert counts.tolist() == [30, 30, 30, 30, 24]  # 3 squares x 5 places x 2 mirrors; 4 scales x 3 squares x 2 mirrors
    assert (boxes.min(axis=0)[:2] == 0).all()
    assert boxes[:, 2].max() == size[1]
    assert boxes[:, 3].max() == size[0]


def naive_crops(size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """The papers' way, in pixels of the resized image, and back to those of the original."""
    crops = []
    for scale in (256, 288, 320, 352):
        factor = scale / min(size)
        height, width = size[0] * factor, size[1] * factor
        for place in range(3):
            left, top = (width - scale) * place / 2, (height - scale) * place / 2
            free = scale - 224
            for x, y in [(0, 0), (free, 0), (0, free), (free, free), (free / 2, free / 2)]:
                crops.append((left + x, top + y, left + x + 224, top + y + 224))
            crops.append((left, top, left + scale, top + scale))
        crops[-18:] = [(a / factor, b / factor, c / factor, d / factor) for a, b, c, d in crops[-18:]]
    return crops


@pytest.mark.parametrize("size", SIZES)
def test_144_crops_agree_with_the_papers_way(size: tuple[int, int]) -> None:
    boxes, mirrored = evaluation_crops(size, 144)
    expected = np.array(naive_crops(size))
    for mirror in (False, True):
        distances = np.abs(boxes[mirrored == mirror][:, None] - expected[None]).max(axis=2)
        assert distances.shape == (72, 72)
        assert (distances.min(axis=0) < 1e-3).all()
        assert (distances.min(axis=1) < 1e-3).all()


@pytest.mark.parametrize("size", SIZES)
def test_crops_come_in_mirrored_pairs(size: tuple[int, int]) -> None:
    boxes, mirrored = evaluation_crops(size, 144)
    assert mirrored.tolist() == [False, True] * 72
    assert np.array_equal(boxes[::2], boxes[1::2])


@pytest.mark.parametrize("size", SIZES)
def test_smaller_sets_begin_larger_ones(size: tuple[int, int]) -> None:
    most = evaluation_crops(size, 144)
    for count in (1, 10):
        fewer = evaluation_crops(size, count)
        assert np.array_equal(fewer.boxes, most.boxes[:count])
        assert np.array_equal(fewer.mirrored, most.mirrored[:count])


@pytest.mark.parametrize(("size", "expected"), [(LANDSCAPE, 126), (PORTRAIT, 126), (SQUARE, 42)])
def test_repeated_crops_are_kept_and_can_be_found(size: tuple[int, int], expected: int) -> None:
    # A square: 5 places x 4 scales and the whole square, which is the same at each scale; times 2 mirrors is 42.
    crops = evaluation_crops(size, 144)
    distinct, positions = crops.distinct()
    assert len(distinct.boxes) == len(rows(crops)) == expected
    assert distinct.boxes.dtype == np.float32
    assert np.array_equal(distinct.boxes[positions], crops.boxes)
    assert np.array_equal(distinct.mirrored[positions], crops.mirrored)


def test_mirrored_crops_show_left_and_right_exchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    crops = evaluation_crops((30, 40), 10)
    cut = cut_crops(image, crops, size=16, device=CPU)
    assert cut.shape == (10, 3, 16, 16)
    assert torch.equal(cut[1::2], cut[::2].flip(3))
    regions = warp_regions(torch.from_numpy(image)[None], torch.from_numpy(crops.boxes[::2])[None], size=16)
    assert torch.equal(cut[::2], regions[0])


def test_huge_images_are_shrunk_with_their_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.kron(np.random.default_rng(0).integers(0, 256, (3, 4, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    crops = evaluation_crops((60, 80), 10)
    expected = cut_crops(image, crops, size=8, device=CPU)
    monkeypatch.setattr("classifier.whole_images.crops.MAX_PIXELS", 60 * 80 // 4)
    torch.testing.assert_close(cut_crops(image, crops, size=8, device=CPU), expected, atol=2, rtol=0)  # of 255


def test_no_crops() -> None:
    none = Crops(np.zeros((0, 4), np.float32), np.zeros(0, np.bool_))
    assert cut_crops(np.zeros((8, 8, 3), np.uint8), none, size=4, device=CPU).shape == (0, 3, 4, 4)
    assert len(none.distinct()[1]) == 0


@pytest.mark.parametrize("count", [0, 2, 12, 145, -1])
def test_other_counts(count: int) -> None:
    with pytest.raises(ValueError, match=f"count must be one of 1, 10, 144, got {count}"):
        evaluation_crops(SQUARE, count)


def test_image_without_pixels() -> None:
    with pytest.raises(ValueError, match=r"size must be a height and width of at least 1, got \(0, 4\)"):
        evaluation_crops((0, 4), 1)
