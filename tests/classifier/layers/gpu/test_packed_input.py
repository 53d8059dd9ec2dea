"""Unpacking a packed image restores it, and `PackedConvolution` agrees with the original convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from classifier.layers.gpu.packed_input import PackedConvolution, pack, packed_side, unpack


def test_places_by_hand() -> None:
    """Pixel (1, 2) is in block (0, 1), in its lower row and left column; two blocks of padding come first."""
    image = torch.zeros(1, 3, 4, 4)
    image[0, 2, 1, 2] = 7
    packed = pack(image)
    assert packed.shape == (1, 16, 5, 5)
    assert packed.nonzero().tolist() == [[0, 4 * 2 + 2, 2, 3]]


@pytest.mark.parametrize(("height", "width"), [(4, 6), (7, 6), (1, 9)])
def test_unpacking_gives_the_image(height: int, width: int) -> None:
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    packed = pack(images)
    assert packed.shape[2:] == (packed_side(height), packed_side(width))
    assert packed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(unpack(packed, height=height, width=width), images)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (15, 22), (1, 2)])
@torch.no_grad()
def test_the_convolution_of_packed_images(height: int, width: int, bias: bool) -> None:
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    convolution = nn.Conv2d(3, 5, 7, stride=2, padding=3, bias=bias)
    actual = PackedConvolution(convolution)(pack(images))
    torch.testing.assert_close(actual, convolution(images), atol=1e-5, rtol=1e-5)
