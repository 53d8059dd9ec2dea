"""A linear layer that was fitted on scaled features, as R-CNN's heads are."""

from typing import NamedTuple

import torch
from torch import nn

from detection.structures.arrays import FloatArray


class LinearHead(NamedTuple):
    """A linear map `features @ weight.T + bias`, with `weight` [O, F] and `bias` [O]."""

    weight: FloatArray
    bias: FloatArray

    def layer(self, scale: float) -> nn.Linear:
        """Return a layer that has the same outputs on features that are not multiplied by `scale`."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight * scale))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer
