"""`PixelScale` converts the pixels that our networks read to published scales."""

from __future__ import annotations

import pytest
import torch

from classifier.layers.pixel_scale import PixelScale
from detection.runtime.pixels import MEAN_RGB, SCALE


def normalised(*colours: tuple[float, float, float]) -> torch.Tensor:
    """One picture of one pixel for each colour, 0-255, as the networks get it: [B, 3, 1, 1]."""
    return ((torch.tensor(colours) - torch.tensor(MEAN_RGB)) * SCALE)[:, :, None, None]


def test_pixels_minus_their_mean() -> None:
    """Red 122.7 + 5 is 5 above the mean, green 116.7 - 16.7 is 16.7 below, blue is 0 and so 104 below."""
    scaled = PixelScale(MEAN_RGB, 1)(normalised((127.7, 100, 0)))
    torch.testing.assert_close(scaled.flatten(), torch.tensor([5, -16.7, -104]))


def test_minus_one_to_one() -> None:
    """Black, white and the middle of each channel: p / 127.5 - 1."""
    scale = PixelScale((127.5, 127.5, 127.5), 127.5)
    scaled = scale(normalised((0, 255, 127.5), (255, 127.5, 0))).flatten(1)
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, 1, 0], [1, 0, -1]]), atol=1e-6, rtol=0)


def test_agrees_with_a_loop_over_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=generator)
    mean, deviation = (10.0, 20.0, 30.0), 7.0
    expected = torch.empty(2, 3, 4, 5)
    for image, channel, y, x in torch.cartesian_prod(*map(torch.arange, pixels.shape)).tolist():
        expected[image, channel, y, x] = (pixels[image, channel, y, x] - mean[channel]) / deviation
    images = (pixels - torch.tensor(MEAN_RGB).view(3, 1, 1)) * SCALE
    torch.testing.assert_close(PixelScale(mean, deviation)(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 1, 9)])
def test_keeps_shape_and_input(shape: tuple[int, ...]) -> None:
    images = torch.ones(shape)
    assert PixelScale(MEAN_RGB, 1)(images).shape == shape
    assert (images == 1).all()


def test_buffers_are_not_saved_but_move_with_the_network() -> None:
    scale = PixelScale(MEAN_RGB, 1)
    assert scale.state_dict() == {}
    assert scale.to(torch.float64)(torch.zeros(1, 3, 1, 1, dtype=torch.float64)).dtype == torch.float64
