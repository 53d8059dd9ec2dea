from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from classifier.layers.response_norm import ResponseNorm


def naive_response_norm(maps: Tensor) -> Tensor:
    """The formula of section 3.3 with k = 2, n = 5, alpha = 1e-4, beta = 0.75, for maps [B, C, H, W]."""
    result = torch.empty_like(maps)
    last = maps.shape[1] - 1
    for i in range(maps.shape[1]):
        total = torch.zeros_like(maps[:, 0])
        for j in range(max(0, i - 2), min(last, i + 2) + 1):
            total += maps[:, j] ** 2
        result[:, i] = maps[:, i] / (2 + 1e-4 * total) ** 0.75
    return result


def large_maps(channels: int) -> Tensor:
    """Random maps, large enough for alpha to matter."""
    return 100 * torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3, 5, 12])
def test_agrees_with_the_formula(channels: int) -> None:
    maps = large_maps(channels)
    torch.testing.assert_close(ResponseNorm(channels)(maps), naive_response_norm(maps))


def test_agrees_with_pytorch_and_its_gradients() -> None:
    """PyTorch's alpha is that of the formula times the 5 channels."""
    results = []
    for norm in (ResponseNorm(12), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)):
        maps = large_maps(12).requires_grad_()
        normalised = norm(maps)
        (normalised.square().sum() / 1000).backward()
        results.append((normalised, maps.grad))
    torch.testing.assert_close(results[0], results[1])


def test_by_hand() -> None:
    """Four maps of 100 next to each other: 100 / (2 + 1e-4 * 3 * 100 ** 2) ** 0.75 = 100 / 5 ** 0.75 at the end."""
    normalised = ResponseNorm(4)(torch.full((1, 4, 1, 1), 100.0)).flatten()
    torch.testing.assert_close(normalised, 100 / torch.tensor([5.0, 6, 6, 5]) ** 0.75)


def test_no_images() -> None:
    assert ResponseNorm(96)(torch.zeros(0, 96, 55, 55)).shape == (0, 96, 55, 55)


def test_keeps_the_type_and_has_no_weights() -> None:
    norm = ResponseNorm(8)
    with torch.autocast("cpu", torch.bfloat16):
        normalised = norm(large_maps(8).bfloat16())
    assert normalised.dtype is torch.bfloat16
    torch.testing.assert_close(normalised.float(), norm(large_maps(8)), rtol=0.02, atol=0.1)
    assert not norm.state_dict()
    assert not list(norm.parameters())
