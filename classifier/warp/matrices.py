"""Resampling as a matrix: what each pixel of an image row adds to each output pixel of a region.

Rows and columns are resampled apart, so a region is two matrix products. That costs in proportion to the pixels of the
image, and suits small images and regions that are interpolated in different ways.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KEYS_A = -0.75
"""Parameter of the cubic kernel (Keys 1981), the one of OpenCV and PyTorch."""


class Interpolation(IntEnum):
    """How a region becomes the network's input.

    AREA is the exact mean over the footprint of an output pixel, at least one pixel wide, so that it is BILINEAR
    where a region is enlarged. The others sample without regard to the footprint and alias where a region is shrunk,
    as they do in the papers.
    """

    AREA = 0
    BILINEAR = 1
    NEAREST = 2
    CUBIC = 3


def resampling_weights(low: Tensor, high: Tensor, size: int, *, length: int, kinds: NDArray[np.uint8]) -> Tensor:
    """Weights with which an axis of `length` pixels makes `size` output pixels that tile low-high.

    Args:
        low: [N] start of each region on the axis, in pixels.
        high: [N] its end.
        size: output pixels S.
        length: pixels L of the image on this axis; what lies beyond has no weight, which stands for zeros.
        kinds: [N] of `Interpolation`, on the host, which has to know which kernels to compute.

    Returns:
        [N, S, L] in the type of `low`; rows sum to 1 where the output pixel lies inside the image.
    """
    step = (high - low) / size
    centres = low.unsqueeze(1) + step.unsqueeze(1) * (torch.arange(size, device=low.device, dtype=low.dtype) + 0.5)
    pixels = torch.arange(length, device=low.device, dtype=low.dtype)
    width = step.clamp(min=1)
    if (kinds != Interpolation.AREA).any():
        width = torch.where(_on_device(kinds == Interpolation.AREA, low.device), width, 1)
    width = width.view(-1, 1, 1)
    left = centres.unsqueeze(2) - width / 2  # [N, S, 1]
    weights = ((left + width).clamp(max=pixels + 1) - left.clamp(min=pixels)).clamp_(min=0) / width  # [N, S, L]
    for kind, kernel in ((Interpolation.NEAREST, _nearest), (Interpolation.CUBIC, _cubic)):
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            rows = _on_device(chosen, low.device)
            weights[rows] = kernel(centres[rows].unsqueeze(2), pixels)
    return weights


def _on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """A copy on the device; the host goes on while it is made."""
    return torch.from_numpy(values).to(device, non_blocking=True)


def _nearest(centres: Tensor, pixels: Tensor) -> Tensor:
    return (centres.floor() == pixels).to(centres.dtype)


def _cubic(centres: Tensor, pixels: Tensor) -> Tensor:
    distance = (centres - 0.5 - pixels).abs()
    near = ((KEYS_A + 2) * distance - (KEYS_A + 3)) * distance**2 + 1
    far = ((KEYS_A * distance - 5 * KEYS_A) * distance + 8 * KEYS_A) * distance - 4 * KEYS_A
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0))
