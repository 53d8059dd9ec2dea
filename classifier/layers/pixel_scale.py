"""`PixelScale`: converts the pixels that our networks read to the scale that a published network was trained with."""

import torch
from torch import Tensor, nn

from detection.runtime.pixels import MEAN_RGB, SCALE


class PixelScale(nn.Module):
    """Convert images [B, 3, S, S] from (pixel - MEAN_RGB) * SCALE to (pixel - mean) / deviation.

    A network that begins with this layer reads the same input as all others. The layer cannot be folded into the first
    convolution, because its zero padding stands for the mean. It stores nothing in the state dict.

    Args:
        mean: mean of the red, green and blue values, 0-255.
        deviation: number of pixel values, of 0-255, in one unit of the result.
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
