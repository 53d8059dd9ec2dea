from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier.chips import cut_chip
from classifier.warp import warp_regions
from detection.arrays import Image
from detection.boxes import box_iou

NOTHING = np.zeros((0, 4), np.float32)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def warped(
    image: Image, box: list[float] | np.ndarray[tuple[int, ...], np.dtype[np.float32]], kind: int
) -> torch.Tensor:
    boxes = torch.tensor(np.array([[box]], np.float32))
    kinds = torch.tensor([[kind]])
    return warp_regions(torch.from_numpy(image.copy())[None], boxes, size=16, context=2, interpolation=kinds)[0, 0]


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize(
    "box",
    [
        [10.3, 12.8, 25.1, 35.2],
        [0, 0, 20, 20],  # in the corner, with context outside of the image
        [70.5, 50, 80, 60],
        [30, 30, 31, 31],
        [-8, 20, 9, 35],  # partly outside
        [20, 10, 44, 34],  # with context 24 * 16 / 12 = 32 pixels: just not shrunk
    ],
)
def test_warped_region_is_that_of_the_image(box: list[float], kind: int) -> None:
    image = noise(60, 80)
    chip = cut_chip(image, np.array(box, np.float32), NOTHING, size=16, context=2)
    assert chip.pixels.shape[0] <= 60
    torch.testing.assert_close(warped(chip.pixels, chip.boxes[0], kind), warped(image, box, kind), atol=5e-3, rtol=0)


def test_large_region_is_shrunk_by_area() -> None:
    image = noise(400, 300)
    box = np.array([20, 30, 250, 360], np.float32)
    chip = cut_chip(image, box, NOTHING, size=16, context=2)
    # The window is 4/3 of the box: -18.3 to 288.3 and -25 to 415, with margin and cut at the image 0-291 and 0-400.
    # 32 of its 306.7 and 440 pixels are kept: 291 * 32 / 306.7 = 30.4 and 400 * 32 / 440 = 29.1.
    assert chip.pixels.shape == (29, 30, 3)
    difference = warped(chip.pixels, chip.boxes[0], 0) - warped(image, box, 0)
    assert difference.abs().mean() < 3  # of noise whose means over 14 x 21 pixels vary by 4
    smooth = np.broadcast_to(np.linspace(0, 255, 300)[None, :, None], (400, 300, 3)).astype(np.uint8)
    chip = cut_chip(smooth, box, NOTHING, size=16, context=2)
    inside = (slice(None), slice(2, -2), slice(3, -3))
    difference = warped(chip.pixels, chip.boxes[0], 0) - warped(smooth, box, 0)
    assert difference[inside].abs().max() < 2


def test_each_axis_is_shrunk_by_itself() -> None:
    chip = cut_chip(noise(20, 1000), np.array([0, 0, 1000, 20], np.float32), NOTHING, size=16, context=0)
    assert chip.pixels.shape == (20, 32, 3)
    np.testing.assert_allclose(chip.boxes, [[0, 0, 32, 20]], atol=1e-4)


def test_other_boxes_keep_their_overlap() -> None:
    region, truth = np.array([[100, 50, 300, 250]], np.float32), np.array([[120, 20, 330, 240]], np.float32)
    chip = cut_chip(noise(400, 400), region[0], truth, size=16, context=2)
    assert chip.boxes.shape == (2, 4)
    assert max(chip.pixels.shape) < 40
    np.testing.assert_allclose(box_iou(chip.boxes[:1], chip.boxes[1:]), box_iou(region, truth), rtol=1e-5)


def test_region_outside_of_the_image() -> None:
    chip = cut_chip(noise(20, 30), np.array([500, 500, 520, 540], np.float32), NOTHING, size=16, context=0)
    assert min(chip.pixels.shape) >= 1
    assert (warped(chip.pixels, chip.boxes[0], 0) == 0).all()


def test_image_stays() -> None:
    image = noise(50, 50)
    before = image.copy()
    cut_chip(image, np.array([5, 5, 45, 45], np.float32), NOTHING, size=8, context=1)
    assert np.array_equal(image, before)
