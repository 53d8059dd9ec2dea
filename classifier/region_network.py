"""A network with the outputs that detection needs: class logits and, if asked for, a refined box for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

from torch import Tensor, nn

from detection.runtime.int8 import Quantisable, can_quantise


class Trunk(Protocol):
    """What `RegionNetwork` needs of a network besides being an `nn.Module`."""

    linear: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads: [B, 3, S, S] -> [B, F]."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """Logits of features [B, F]; `classify(features(images))` is what the network itself gives."""
        ...


class RegionOutputs(NamedTuple):
    """Of N regions: `logits` [N, C + 1], or with SVMs margins [N, C], and `deltas` [N, C, 4] where boxes are refined.

    The unit of the deltas is that of `classifier.layers.box_deltas`.
    """

    logits: Tensor
    deltas: Tensor | None

    def split(self, counts: Sequence[int]) -> list[RegionOutputs]:
        """The outputs of so many regions each."""
        logits = self.logits.split(list(counts))
        if self.deltas is None:
            return [RegionOutputs(part, None) for part in logits]
        return [RegionOutputs(*parts) for parts in zip(logits, self.deltas.split(list(counts)), strict=True)]


class RegionNetwork(nn.Module):
    """A trunk such as `GoogLeNet` with a box regression head beside its class layer, both on the same features.

    The head starts at zero: every box is the region itself.

    Args:
        trunk: a network with the methods of `Trunk`.
        box_classes: number C of classes whose boxes are refined; none without a head.
    """

    def __init__(self, trunk: nn.Module, *, box_classes: int | None = None) -> None:
        super().__init__()
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
        """Whether `quantise` will do."""
        return can_quantise(self.trunk)

    def quantise(self) -> None:
        """Let the trunk compute in bytes, in place; see `InceptionTrunk.quantise`."""
        cast(Quantisable, self.trunk).quantise()

    def features(self, images: Tensor) -> Tensor:
        """What both heads read: [B, 3, S, S] -> [B, F]."""
        return cast(Trunk, self.trunk).features(images)

    def heads(self, features: Tensor) -> RegionOutputs:
        """What both heads make of features [B, F]."""
        logits = cast(Trunk, self.trunk).classify(features)
        deltas = None if self.box_head is None else self.box_head(features).unflatten(1, (-1, 4))
        return RegionOutputs(logits, deltas)
