"""`RegionNetwork`: a trunk with a class layer and a box regression layer, and the unit in which boxes are regressed.

Box regression moves a region onto the object that it shows (R-CNN, arXiv 1311.2524, appendix C). The network predicts
four deltas for each class: the shift of the centre as a share of the region's sides, and the logarithms of the factors
on its sides. The same deltas therefore fit a region at any place and of any size. They are divided by `DELTA_STDS`,
which brings them to about 1.
"""

import math
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from classifier.layers.device_constant import device_constant
from detection.runtime.int8 import Quantisable, can_quantise

DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
"""Unit of each delta: the standard deviations that Fast R-CNN's successors divide by (`BBOX_NORMALIZE_STDS`)."""

MIN_SIDE = 1.0
"""Shorter sides, in pixels, count as this length, so that the deltas of a box without area are finite."""

MAX_LOG_SCALE = math.log(1000 / 16)
"""The largest logarithm of a factor on a side (our choice): enough to grow from 16 to 1000 pixels, and no overflow."""


class Trunk(Protocol):
    """The attributes and methods that `RegionNetwork` needs of a network, besides those of an `nn.Module`."""

    dropout: nn.Module
    linear: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] -> features [B, F], so that the logits are `linear(dropout(features))`."""


class RegionOutputs(NamedTuple):
    """Outputs of a `RegionNetwork` for N regions.

    `logits` are [N, C + 1], or margins [N, C] where the class layer holds SVMs. `deltas` are [N, C, 4] in units of
    `DELTA_STDS`, or None if the network does not refine boxes.
    """

    logits: Tensor
    deltas: Tensor | None


class RegionNetwork(nn.Module):
    """A trunk such as `GoogLeNet` with a box regression layer beside its class layer, both on the same features.

    The box regression layer starts at zero, which leaves every region where it is.

    Args:
        trunk: a network with the attributes of `Trunk`.
        box_classes: the number C of classes whose boxes are refined; None for a network without box regression.
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
        """True if the trunk can compute in int8."""
        return can_quantise(self.trunk)

    def quantise(self) -> None:
        """Change the trunk in place so that it computes in int8; see `InceptionTrunk.quantise`."""
        cast(Quantisable, self.trunk).quantise()

    def features(self, images: Tensor) -> Tensor:
        """The features that both layers read: [B, 3, S, S] -> [B, F]."""
        return cast(Trunk, self.trunk).features(images)

    def heads(self, features: Tensor) -> RegionOutputs:
        """Logits and deltas of features [B, F]."""
        trunk = cast(Trunk, self.trunk)
        deltas = None if self.box_head is None else self.box_head(features).unflatten(1, (-1, 4))
        return RegionOutputs(trunk.linear(trunk.dropout(features)), deltas)


def encode_boxes(regions: Tensor, targets: Tensor) -> Tensor:
    """The deltas that move each region onto its target.

    Args:
        regions: [N, 4] xyxy in pixels.
        targets: [N, 4] xyxy in pixels, the ground truth box of each region.

    Returns:
        Deltas [N, 4] in units of `DELTA_STDS`: dx / width, dy / height, and the logarithms of the ratios of the widths
        and of the heights.

    Raises:
        ValueError: if a shape is not [N, 4].
    """
    if regions.ndim != 2 or regions.shape[1] != 4 or regions.shape != targets.shape:
        shapes = f"{list(regions.shape)} and {list(targets.shape)}"
        raise ValueError(f"regions and targets must both have shape [N, 4], got {shapes}")
    centres, sides = _centres_and_sides(regions)
    target_centres, target_sides = _centres_and_sides(targets)
    deltas = torch.cat([(target_centres - centres) / sides, (target_sides / sides).log()], dim=1)
    return deltas / device_constant(DELTA_STDS, deltas.device, deltas.dtype)


def decode_boxes(regions: Tensor, deltas: Tensor, size: tuple[int, int]) -> Tensor:
    """The box of each region and class, moved by the deltas and clipped to the image; the inverse of `encode_boxes`.

    Args:
        regions: [N, 4] xyxy in pixels.
        deltas: [N, C, 4] in units of `DELTA_STDS`.
        size: (height, width) of the image.

    Returns:
        Boxes [N, C, 4] xyxy in pixels, within the image. A box may have no area.

    Raises:
        ValueError: if the shapes are not [N, 4] and [N, C, 4].
    """
    if regions.shape != (len(regions), 4) or deltas.ndim != 3 or deltas.shape[::2] != (len(regions), 4):
        shapes = f"{list(regions.shape)} and {list(deltas.shape)}"
        raise ValueError(f"regions must have shape [N, 4] and deltas [N, C, 4], got {shapes}")
    centres, sides = _centres_and_sides(regions[:, None])  # [N, 1, 2]
    deltas = deltas * device_constant(DELTA_STDS, deltas.device, deltas.dtype)
    centres = centres + deltas[..., :2] * sides  # [N, C, 2]
    half = deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp() * sides / 2
    height, width = size
    borders = centres.new_tensor([width, height, width, height])
    return torch.cat([centres - half, centres + half], dim=2).clamp(min=0).minimum(borders)


def mirror_deltas(deltas: Tensor) -> Tensor:
    """Deltas [..., 4] of regions, from those of the same regions with left and right exchanged; its own inverse."""
    return deltas * device_constant((-1.0, 1.0, 1.0, 1.0), deltas.device, deltas.dtype)


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (x, y) and sides (width, height) of boxes: [..., 4] -> [..., 2] and [..., 2]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides.clamp(min=MIN_SIDE)
