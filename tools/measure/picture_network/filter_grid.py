"""The filters of a network's first convolution, as a picture."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from detection.structures.arrays import FloatArray, Image

CELL = 64
"""Side that a filter is enlarged to, about, in pixels."""
GAP = 4


def first_filters(network: nn.Module) -> FloatArray:
    """The weights of the first convolution: [F, 3, k, k], zero-centred.

    Raises:
        ValueError: if there is none, or it does not see colours.
    """
    convolution = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if convolution is None or convolution.in_channels != 3:
        raise ValueError(f"expected a network that begins with a convolution of RGB, got {convolution}")
    weights: FloatArray = convolution.weight.detach().cpu().float().numpy()
    return weights


def draw_filters(filters: FloatArray) -> Image:
    """A grid of the filters [F, 3, k, k] in their order, each stretched to the range of 0-255, on white.

    A filter of one value only is grey.
    """
    count, _, side, _ = filters.shape
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    span = filters.max(axis=(1, 2, 3), keepdims=True) - low
    shares = np.divide(filters - low, span, out=np.full_like(filters, 0.5), where=span > 0)
    zoom = max(1, CELL // side)
    cells = (shares * 255).round().astype(np.uint8).transpose(0, 2, 3, 1).repeat(zoom, axis=1).repeat(zoom, axis=2)
    columns = math.ceil(math.sqrt(count))
    step = side * zoom + GAP
    grid = np.full((math.ceil(count / columns) * step + GAP, columns * step + GAP, 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = (GAP + place * step for place in divmod(index, columns))
        grid[top : top + side * zoom, left : left + side * zoom] = cell
    return grid
