"""`warp_regions` against R-CNN's geometry, pixel by pixel in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from classifier.warp import matrices, numba_loops
from classifier.warp.crop import context_boxes, warp_regions, warp_to_bytes
from detection.runtime.int8 import QuantisedInput
from detection.runtime.pixels import MEAN_RGB, SCALE

Array = NDArray[np.float64]


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def warp_one(image: NDArray[np.uint8], box: Sequence[float], size: int, context: int = 0) -> NDArray[np.float32]:
    boxes = torch.tensor([[box]], dtype=torch.float32)
    output: NDArray[np.float32] = warp_regions(torch.from_numpy(image)[None], boxes, size=size, context=context)[
        0, 0
    ].numpy()
    return output


def resample(images: torch.Tensor, boxes: torch.Tensor, size: int, context: int = 0) -> torch.Tensor:
    """The regions by matrix products, as a GPU without Triton computes them."""
    windows = context_boxes(boxes.double(), size=size, context=context)
    kinds = np.full(boxes.shape[:2], matrices.Interpolation.AREA, np.uint8)
    return matrices.resample_regions(images, windows, size=size, mean=MEAN_RGB, kinds=kinds)


def random_boxes(count: int, width: int, height: int) -> torch.Tensor:
    """Boxes [N, 4] of all sizes, some of which reach beyond the image."""
    sides = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([width, height]) * 1.2 + 1
    corners = torch.rand(count, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([width, height]) - 5
    return torch.cat([corners, corners + sides], dim=1)


def naive_weights(low: float, high: float, size: int, length: int) -> Array:
    """The weight that each of `length` pixels gives to each of `size` outputs that tile low-high: [size, length].

    An output is the mean over its footprint, or over one pixel about its centre where the footprint is smaller.
    """
    weights = np.zeros((size, length))
    step = (high - low) / size
    for output in range(size):
        centre = low + (output + 0.5) * step
        start, end = centre - max(step, 1) / 2, centre + max(step, 1) / 2
        for pixel in range(length):
            weights[output, pixel] = max(0.0, min(end, pixel + 1) - max(start, pixel)) / (end - start)
    return weights


def naive_warp(image: NDArray[np.uint8], box: Sequence[float], size: int, context: int) -> Array:
    """R-CNN's crop: half sides about the centre times S / (S - 2p); mean outside the image, zero after subtraction."""
    x1, y1, x2, y2 = box
    factor = size / (size - 2 * context)
    half_width, half_height = (x2 - x1) / 2 * factor, (y2 - y1) / 2 * factor
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    horizontal = naive_weights(centre_x - half_width, centre_x + half_width, size, image.shape[1])
    vertical = naive_weights(centre_y - half_height, centre_y + half_height, size, image.shape[0])
    result: Array = np.einsum("iy,yxc,jx->cij", vertical, image - np.array(MEAN_RGB), horizontal)
    return result


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 30, 28],  # enlarged on both axes
        [0, 0, 80, 60],  # shrunk on both axes, and beyond all borders with context
        [2, 3, 78, 15],  # shrunk on one axis, enlarged on the other
        [60, 40, 80, 60],  # in the corner
        [3.3, 2.2, 68.8, 57.7],  # between pixels
        [7, 5, 8, 6],  # a single pixel
        [-30, -20, 40, 30],  # partly outside
        [200, 200, 260, 240],  # wholly outside
    ],
)
def test_agrees_with_the_naive_crop(box: list[float], context: int) -> None:
    image = random_image(60, 80)
    expected = naive_warp(image, box, 24, context)
    np.testing.assert_allclose(warp_one(image, box, 24, context), expected, atol=1e-3)
    resampled = resample(torch.from_numpy(image)[None], torch.tensor([[box]]), 24, context)[0, 0]
    np.testing.assert_allclose(resampled, expected, atol=0.01)


def test_identity() -> None:
    image = random_image(16, 16)
    expected = image.transpose(2, 0, 1) - np.array(MEAN_RGB)[:, None, None]
    np.testing.assert_allclose(warp_one(image, [0, 0, 16, 16], 16), expected, atol=1e-3)


def test_halving_gives_the_mean_of_four_pixels() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, :, 0] = [[10, 20], [30, 40]]  # mean 25
    output = warp_one(image, [0, 0, 2, 2], 1)
    np.testing.assert_allclose(output[:, 0, 0] + MEAN_RGB, [25, 0, 0], atol=1e-4)


def test_context_of_rcnn() -> None:
    """S = 227, p = 16: a side of 195 grows by 227 / 195 to 227, so by 16 at each end."""
    boxes = torch.tensor([[100.0, 50.0, 295.0, 245.0]])
    torch.testing.assert_close(context_boxes(boxes, size=227, context=16), torch.tensor([[84.0, 34.0, 311.0, 261.0]]))


def test_outside_is_zero() -> None:
    output = warp_one(np.full((8, 8, 3), 255, np.uint8), [0, 0, 8, 8], 16, context=4)
    assert (output[:, :4] == 0).all()
    assert (output[:, :, -4:] == 0).all()
    np.testing.assert_allclose(output[:, 8, 8], 255 - np.array(MEAN_RGB), atol=1e-4)


def test_several_images_give_the_regions_of_each_image() -> None:
    images = np.stack([random_image(40, 50, seed) for seed in range(3)])
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3, 5, 2, generator=generator) * 30
    boxes = torch.cat([corners, corners + 1 + torch.rand(3, 5, 2, generator=generator) * 60], dim=2)
    together = warp_regions(torch.from_numpy(images), boxes, size=16, context=2)
    assert together.shape == (3, 5, 3, 16, 16)
    for image, image_boxes, expected in zip(images, boxes, together, strict=True):
        alone = warp_regions(torch.from_numpy(image)[None], image_boxes[None], size=16, context=2)[0]
        assert torch.equal(alone, expected)


def test_number_of_regions_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(np.stack([random_image(40, 50, seed) for seed in range(3)]))
    boxes = random_boxes(27, 50, 40).view(3, 9, 4)
    expected, resampled = warp_regions(images, boxes, size=16), resample(images, boxes, 16)
    monkeypatch.setattr(numba_loops, "CHUNK", 2)
    monkeypatch.setattr(matrices, "CPU_REGIONS_AT_ONCE", 2)

    assert torch.equal(warp_regions(images, boxes, size=16), expected)
    torch.testing.assert_close(resample(images, boxes, 16), resampled, atol=1e-4, rtol=0)


def test_bytes_are_the_nearest_to_what_a_network_would_read() -> None:
    image, boxes = random_image(90, 120), random_boxes(50, 120, 90)
    read = QuantisedInput((0 - max(MEAN_RGB)) * SCALE, (255 - min(MEAN_RGB)) * SCALE)
    expected = read(warp_regions(torch.from_numpy(image)[None], boxes[None], size=24, context=2)[0] * SCALE)

    scale = read.scale / SCALE
    actual = torch.from_numpy(warp_to_bytes(image, boxes.numpy(), size=24, context=2, scale=scale, zero=read.zero))

    assert actual.dtype == torch.uint8
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert (actual.int() - expected.int()).abs().max() <= 1
    assert (actual != expected).float().mean() < 1e-3  # halves, after roundings in float32
    assert len(expected.unique()) > 200


def test_an_invalid_box_does_not_change_other_regions() -> None:
    image = torch.from_numpy(random_image(40, 50))[None]
    boxes = random_boxes(3, 50, 40)
    wrong = torch.tensor([[float("nan")] * 4, [0, 0, float("inf"), 5], [1e30, 0, 2e30, 1e30]])
    together = warp_regions(image, torch.cat([wrong, boxes])[None], size=16)[0]
    assert torch.equal(together[3:], warp_regions(image, boxes[None], size=16)[0])


def test_input_is_unchanged() -> None:
    image, boxes = torch.from_numpy(random_image(20, 20)), torch.tensor([[[1.0, 2.0, 15.0, 18.0]]])
    image_before, boxes_before = image.clone(), boxes.clone()
    warp_regions(image[None], boxes, size=8, context=1)
    assert torch.equal(image, image_before)
    assert torch.equal(boxes, boxes_before)


def test_no_regions() -> None:
    output = warp_regions(torch.zeros(1, 5, 5, 3, dtype=torch.uint8), torch.zeros(1, 0, 4), size=8)
    assert output.shape == (1, 0, 3, 8, 8)


def test_large_flat_image_keeps_its_colour() -> None:
    """The sums of the integral image reach 10^9 here; float32 would leave errors of many grey levels."""
    image = np.full((1500, 2000, 3), 200, np.uint8)
    output = warp_one(image, [1900, 1400, 1990, 1490], 32)
    np.testing.assert_allclose(
        output, np.broadcast_to(200 - np.array(MEAN_RGB)[:, None, None], output.shape), atol=0.01
    )


@pytest.mark.parametrize(
    ("images", "boxes", "context", "message"),
    [
        (torch.zeros(5, 5, 3), torch.zeros(1, 1, 4), 0, r"images must have shape \[B, H, W, 3\], got \[5, 5, 3\]"),
        (torch.zeros(1, 5, 5, 3), torch.zeros(1, 4), 0, r"boxes must have shape \[1, N, 4\], got \[1, 4\]"),
        (torch.zeros(1, 5, 5, 3), torch.zeros(2, 1, 4), 0, r"boxes must have shape \[1, N, 4\]"),
        (torch.zeros(1, 5, 5, 3), torch.zeros(1, 1, 4), 4, "less than half of size 8, got 4"),
    ],
)
def test_refuses_shapes_that_do_not_fit(images: torch.Tensor, boxes: torch.Tensor, context: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        warp_regions(images, boxes, size=8, context=context)
