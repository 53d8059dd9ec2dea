"""`BoxGrid`: box regression from a feature map, which shows where in a region the object is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from classifier.inception import initialise

REDUCED = 64
"""Channels to which the feature map is reduced (our choice)."""

HIDDEN = 256
"""Units of the hidden layer (our choice)."""

DROPOUT = 0.3
"""Share of the numbers that are dropped before the last two layers in training (our choice)."""


class BoxGrid(nn.Module):
    """Two layers on a grid of reduced features, which predict four deltas for each class.

    The mean over all positions, which the class layer reads, hardly shows where in the region an object is. R-CNN
    (arXiv 1311.2524, appendix C) therefore regresses boxes from a feature map. The last layer starts at zero.

    Args:
        channels: the number of channels of the feature map.
        num_classes: the number C of classes whose boxes are refined.
        grid: the number of rows and of columns of the grid. The map of a network with 224 px inputs has 7.
    """

    def __init__(self, channels: int, num_classes: int, *, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.reduce = nn.Conv2d(channels, REDUCED, 1)
        self.hidden = nn.Linear(REDUCED * grid**2, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Linear(HIDDEN, 4 * num_classes)
        initialise(self.reduce)
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        for zeros in (self.hidden.bias, self.last.weight, self.last.bias):
            nn.init.zeros_(zeros)

    def positions(self, maps: Tensor, scale: float) -> Tensor:
        """Return the grids [B, `REDUCED` x grid x grid] of feature maps [B, C, H, W], whose numbers `scale` multiplies.

        Maps of another size are interpolated.
        """
        reduced = functional.relu(self.reduce(maps.to(self.reduce.weight.dtype) * scale))
        if reduced.shape[2:] != (self.grid, self.grid):
            reduced = functional.interpolate(reduced, (self.grid, self.grid), mode="bilinear", align_corners=False)
        return torch.flatten(reduced, 1)

    def forward(self, positions: Tensor) -> Tensor:
        """Return the deltas [B, 4 C] for grids as `positions` returns them."""
        hidden = functional.relu(self.hidden(self.dropout(positions)))
        return cast(Tensor, self.last(self.dropout(hidden)))
