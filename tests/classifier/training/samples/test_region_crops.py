from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier.training.samples.region_crops import RegionCrops, cut_regions
from classifier.warp.crop import warp_regions
from detection.runtime.pixels import MEAN_RGB
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_iou

NOTHING = np.zeros((0, 4), np.float32)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cut(
    image: Image, box: list[float], others: FloatArray = NOTHING, *, size: int = 16, context: int = 2
) -> RegionCrops:
    """Cut out a single region."""
    return cut_regions([image], np.concatenate([np.array([box], np.float32), others])[None], size=size, context=context)


def warped(image: Image, box: list[float] | FloatArray, kind: int) -> torch.Tensor:
    boxes = torch.tensor(np.array([[box]], np.float32))
    kinds = np.array([[kind]], np.uint8)
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
    (pixels,), ((region,),) = cut(image, box)
    assert pixels.shape[0] <= 60
    torch.testing.assert_close(warped(pixels, region, kind), warped(image, box, kind), atol=5e-3, rtol=0)


def test_large_region_is_shrunk_by_area() -> None:
    image = noise(400, 300)
    box: list[float] = [20, 30, 250, 360]
    (pixels,), ((region,),) = cut(image, box)
    # The window is 4/3 of the box: -18.3 to 288.3 and -25 to 415, with margin and cut at the image 0-291 and 0-400.
    # 32 of its 306.7 and 440 pixels are kept: 291 * 32 / 306.7 = 30.4 and 400 * 32 / 440 = 29.1.
    assert pixels.shape == (29, 30, 3)
    difference = warped(pixels, region, 0) - warped(image, box, 0)
    assert difference.abs().mean() < 3  # of noise whose means over 14 x 21 pixels vary by 4
    smooth = np.broadcast_to(np.linspace(0, 255, 300)[None, :, None], (400, 300, 3)).astype(np.uint8)
    (pixels,), ((region,),) = cut(smooth, box)
    inside = (slice(None), slice(2, -2), slice(3, -3))
    difference = warped(pixels, region, 0) - warped(smooth, box, 0)
    assert difference[inside].abs().max() < 2


def test_each_axis_is_shrunk_by_itself() -> None:
    chips = cut(noise(20, 1000), [0, 0, 1000, 20], context=0)
    assert chips.pixels.shape == (1, 20, 32, 3)
    np.testing.assert_allclose(chips.boxes, [[[0, 0, 32, 20]]], atol=1e-4)


def test_other_boxes_keep_their_overlap() -> None:
    region, truth = np.array([[100, 50, 300, 250]], np.float32), np.array([[120, 20, 330, 240]], np.float32)
    pixels, (boxes,) = cut(noise(400, 400), region[0].tolist(), truth)
    assert boxes.shape == (2, 4)
    assert max(pixels.shape) < 40
    np.testing.assert_allclose(box_iou(boxes[:1], boxes[1:]), box_iou(region, truth), rtol=1e-5)


def test_region_outside_of_the_image() -> None:
    (pixels,), ((region,),) = cut(noise(20, 30), [500, 500, 520, 540], context=0)
    assert min(pixels.shape) >= 1
    assert (warped(pixels, region, 0) == 0).all()


def test_chips_of_a_batch_are_those_of_each_region() -> None:
    images = [noise(60, 80), noise(30, 25), noise(300, 200), noise(60, 80)]
    boxes = np.array([[10, 12, 25, 35], [0, 0, 25, 30], [5, 5, 190, 290], [70, 50, 80, 60]], np.float32)
    pairs = np.stack([boxes, boxes + 3], axis=1)
    together = cut_regions(images, pairs, size=16, context=2)
    assert together.boxes.shape == (4, 2, 4)
    for pixels, found, image, pair in zip(*together, images, pairs, strict=True):
        (alone,), (expected,) = cut(image, pair[0].tolist(), pair[1:])
        height, width = alone.shape[:2]
        assert np.array_equal(pixels[:height, :width], alone)
        assert np.array_equal(found, expected)
        assert (pixels[height:] == np.round(MEAN_RGB)).all()
        assert (pixels[:, width:] == np.round(MEAN_RGB)).all()


def test_image_stays() -> None:
    image = noise(50, 50)
    before = image.copy()
    cut(image, [5, 5, 45, 45], size=8, context=1)
    assert np.array_equal(image, before)
