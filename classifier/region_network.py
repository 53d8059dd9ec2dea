"""`RegionNetwork`: a trunk with a class layer and a box regression layer.

`classifier.box_deltas` has the outputs and their units.
"""

from typing import Protocol, cast

from torch import Tensor, nn

from classifier.box_deltas import RegionOutputs
from detection.runtime.int8 import Quantisable, can_quantise


class Trunk(Protocol):
    """The attributes and methods that `RegionNetwork` needs of a network, besides those of an `nn.Module`."""

    dropout: nn.Module
    linear: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Return the features [B, F] of images [B, 3, S, S]; the logits are `linear(dropout(features))`."""


class RegionNetwork(nn.Module):
    """A trunk such as `GoogLeNet` with a box regression layer beside its class layer, both on the same features.

    The box regression layer starts at zero, which leaves every region where it is.

    Args:
        trunk: a network with the attributes of `Trunk`.
        box_classes: the number C of classes whose boxes are refined; None for a network without box regression.

    Raises:
        ValueError: naming what the trunk lacks.
    """

    def __init__(self, trunk: nn.Module, *, box_classes: int | None = None) -> None:
        super().__init__()
        if missing := [name for name in ("features", "dropout", "linear") if not hasattr(trunk, name)]:
            name = type(trunk).__name__
            raise ValueError(f"network {name}: expected {missing[0]}, as classifier.region_network.Trunk describes it")
        self.trunk = trunk
        self.box_head: nn.Linear | None = None
        if box_classes is not None:
            self.box_head = nn.Linear(cast(Trunk, trunk).linear.in_features, 4 * box_classes)
            nn.init.zeros_(self.box_head.weight)
            nn.init.zeros_(self.box_head.bias)

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
        """Return the features that both layers read: [B, 3, S, S] -> [B, F]."""
        return cast(Trunk, self.trunk).features(images)

    def heads(self, features: Tensor) -> RegionOutputs:
        """Return the logits and deltas of features [B, F]."""
        trunk = cast(Trunk, self.trunk)
        deltas = None if self.box_head is None else self.box_head(features).unflatten(1, (-1, 4))
        return RegionOutputs(trunk.linear(trunk.dropout(features)), deltas)
