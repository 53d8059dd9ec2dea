"""`RegionNetwork`: a trunk with a class layer and box regression.

`classifier.box_deltas` has the outputs and their units.
"""

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from classifier.box_deltas import RegionOutputs
from classifier.inception import InceptionTrunk
from classifier.layers.box_grid import BoxGrid
from detection.runtime.int8 import Quantisable, can_quantise


class Trunk(Protocol):
    """The attributes and methods that `RegionNetwork` needs of a network, besides those of an `nn.Module`."""

    dropout: nn.Module
    linear: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Return the features [B, F] of images [B, 3, S, S]; the logits are `linear(dropout(features))`."""


class RegionNetwork(nn.Module):
    """A trunk such as `GoogLeNet` with box regression beside its class layer.

    Box regression starts at zero, which leaves every region where it is.

    Args:
        trunk: a network with the attributes of `Trunk`.
        box_classes: the number C of classes whose boxes are refined; None for a network without box regression.
        box_grid: the grid of a `BoxGrid`, which refines boxes from the last feature map of an `InceptionTrunk`. With
            None, a linear layer refines them, which reads the features that the class layer reads.

    Raises:
        ValueError: naming what the trunk lacks.
    """

    def __init__(self, trunk: nn.Module, *, box_classes: int | None = None, box_grid: int | None = None) -> None:
        super().__init__()
        if missing := [name for name in ("features", "dropout", "linear") if not hasattr(trunk, name)]:
            name = type(trunk).__name__
            raise ValueError(f"network {name}: expected {missing[0]}, as classifier.region_network.Trunk describes it")
        self.trunk = trunk
        self.box_head: nn.Linear | None = None
        self.box_grid: BoxGrid | None = None
        if box_classes is not None and box_grid is None:
            self.box_head = nn.Linear(cast(Trunk, trunk).linear.in_features, 4 * box_classes)
            nn.init.zeros_(self.box_head.weight)
            nn.init.zeros_(self.box_head.bias)
        if box_classes is not None and box_grid is not None:
            if not isinstance(trunk, InceptionTrunk):
                raise ValueError(f"box_grid: expected an InceptionTrunk such as GoogLeNet, got {type(trunk).__name__}")
            self.box_grid = BoxGrid(trunk.channels["5b"], box_classes, grid=box_grid)

    def forward(self, images: Tensor) -> RegionOutputs:
        return self.heads(self.features(images))

    @property
    def can_quantise(self) -> bool:
        """True if the trunk can compute in int8."""
        return can_quantise(self.trunk)

    def quantise(self) -> None:
        """Change the trunk in place so that it computes in int8; see `InceptionTrunk.quantise`."""
        cast(Quantisable, self.trunk).quantise()

    def features(self, images: Tensor) -> Tensor:
        """Return the features that `heads` reads: [B, 3, S, S] -> [B, F + G].

        The linear layers read the first F of them, and a `BoxGrid` the other G.
        """
        if self.box_grid is None:
            return self.class_features(images)
        trunk = cast(InceptionTrunk, self.trunk)
        maps = trunk.last_map(images)
        positions = self.box_grid.positions(maps, trunk.last_scale)
        return torch.cat([trunk.average(maps).to(positions.dtype), positions], dim=1)

    def last_map(self, images: Tensor) -> Tensor:
        """Return the last feature map of an `InceptionTrunk` in float32: [B, 3, S, S] -> [B, C, H, W]."""
        trunk = cast(InceptionTrunk, self.trunk)
        return trunk.last_map(images).float() * trunk.last_scale

    def class_features(self, images: Tensor) -> Tensor:
        """Return the features that the class layer reads: [B, 3, S, S] -> [B, F]."""
        return cast(Trunk, self.trunk).features(images)

    def heads(self, features: Tensor) -> RegionOutputs:
        """Return the logits and deltas of the features that `features` returns."""
        trunk = cast(Trunk, self.trunk)
        class_features, positions = features.tensor_split([trunk.linear.in_features], dim=1)
        deltas = None
        if self.box_head is not None:
            deltas = self.box_head(class_features).unflatten(1, (-1, 4))
        elif self.box_grid is not None:
            deltas = self.box_grid(positions).unflatten(1, (-1, 4))
        return RegionOutputs(trunk.linear(trunk.dropout(class_features)), deltas)
