"""The scale of pixels that a published network was made for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detection.runtime.pixels import MEAN_RGB, SCALE


class PixelScale(nn.Module):
    """From pixels as our networks read them, (pixel - MEAN_RGB) * SCALE, to (pixel - mean) / deviation: [B, 3, S, S].

    A network that begins with it reads the same input as every other. It can not be folded into the first convolution,
    whose zero padding stands for the mean. Nothing of it is in the state dict.

    Args:
        mean: of the red, green and blue values, 0-255.
        deviation: what one unit of the result is worth, in values of 0-255.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, mean: tuple[float, float, float], deviation: float) -> None:
        super().__init__()
        shift = (torch.tensor(MEAN_RGB) - torch.tensor(mean)) / deviation
        self.register_buffer("factor", torch.tensor(1 / (SCALE * deviation)), persistent=False)
        self.register_buffer("shift", shift.view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor + self.shift
