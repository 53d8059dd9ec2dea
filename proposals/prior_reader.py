"""What a feature map says at the place of each prior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MIN_SIDE = 1e-3
"""Of a prior, in shares of the image: shorter ones count as this in its logarithm."""


def read_at_priors(features: Tensor, priors: Tensor, points: int) -> Tensor:
    """Features at points x points spots evenly spaced over each prior, its borders included, interpolated bilinearly.

    Args:
        features: [B, C, H, W] of the whole image.
        priors: [K, 4] normalised xyxy.
        points: in each direction.

    Returns:
        [B, K, C x points x points] in the precision of the features.
    """
    shares = torch.linspace(0, 1, points, device=priors.device).unsqueeze(1)
    spots = priors[:, None, :2] + shares * (priors[:, None, 2:] - priors[:, None, :2])  # [K, points, xy]
    across, down = spots[:, None, :, 0], spots[:, :, None, 1]  # [K, 1, points], [K, points, 1]
    grid = torch.stack(torch.broadcast_tensors(across, down), dim=-1).flatten(1, 2)  # [K, points x points, xy]
    grid = (2 * grid - 1).expand(len(features), -1, -1, -1)  # grid_sample counts from -1 to 1
    read = functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return read.permute(0, 2, 1, 3).flatten(2).to(features.dtype)  # [B, C, K, ...] -> [B, K, C x ...]


def prior_shapes(priors: Tensor) -> Tensor:
    """Where each prior is and how large, within about -1 to 1: [K, 4] -> [K, 4]."""
    centres = priors[:, :2] + priors[:, 2:] - 1
    sides = (priors[:, 2:] - priors[:, :2]).clamp(min=MIN_SIDE).log2() / 4 + 0.5
    return torch.cat([centres, sides], dim=1)
