"""A linear layer fitted on features that were scaled, as R-CNN's heads are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from detection.structures.arrays import FloatArray


class LinearHead(NamedTuple):
    """Outputs `features @ weight.T + bias`: `weight` [O, F], `bias` [O]."""

    weight: FloatArray
    bias: FloatArray

    def layer(self, scale: float) -> nn.Linear:
        """The layer that gives the same outputs on features before they were multiplied by `scale`."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight * scale))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer
