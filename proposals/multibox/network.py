"""MultiBox: a network that proposes boxes for the objects of a whole image in one pass (arXiv 1312.2249, 1412.1441)."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from detection.runtime.int8 import can_quantise, quantised
from detection.runtime.pixels import MEAN_RGB, SCALE
from proposals.multibox.prior_features import FixedPriors, prior_shapes, read_at_priors
from proposals.multibox.residuals import decode_residuals

FIRST_CONFIDENCE = 0.01
"""Of every prediction before training, about the share of priors that have an object (our choice): with 0.5, the many
priors without one would drown the others in the first steps."""


class Trunk(Protocol):
    """What `MultiBox` needs of an `nn.Module`, such as `classifier.inception.InceptionTrunk`."""

    channels: dict[str, int]

    def feature_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Maps [B, channels[name], H, W] of images [B, 3, S, S], by name."""
        ...

    def quantise(self) -> dict[str, float]:
        """Compute in bytes from now on, in place, if it can; returns the scale of each map."""
        ...


class MultiBoxOutputs(NamedTuple):
    """Of each image and prior: `residuals` [B, K, 4], as `residuals.py` has them, and `logits` [B, K]."""

    residuals: Tensor
    logits: Tensor


class MultiBox(nn.Module):
    """A box and a confidence for each of K priors: zero-mean RGB [B, 3, S, S] -> `MultiBoxOutputs`.

    The paper has one linear layer from the whole image to all 5 K outputs. Here every prior reads the features at its
    own place, and all share one small perceptron (our choice): K can be large while the weights stay few, and what is
    learned of an object in one place holds everywhere, so that fewer images are needed.

    Two maps of the trunk are brought to the same number of channels, the coarser one is enlarged, and they are added
    up. Of the sum, a prior reads points evenly spaced over its box, the borders included, by bilinear interpolation.

    Args:
        trunk: a network with the attributes of `Trunk`.
        priors: [K, 4] normalised xyxy, kept with the weights.
        maps: the trunk's, the finer one first, its last one second.
        width: channels of the sum.
        points: in each direction of a box.
        hidden: units of the perceptron.
    """

    priors: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        priors: Tensor,
        *,
        maps: tuple[str, str] = ("4e", "5b"),
        width: int = 64,
        points: int = 3,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.maps = tuple(maps)
        self.points = points
        self.register_buffer("priors", priors.float())
        fine, coarse = (cast(Trunk, trunk).channels[name] for name in maps)
        self.fine = _normalised_convolution(fine, width, 1)
        self.coarse = _normalised_convolution(coarse, width, 1)
        self.mix = _normalised_convolution(width, width, 3)
        self.hidden = nn.Linear(width * points**2 + 4, hidden)
        self.output = nn.Linear(hidden, 5)
        self.output_bias = nn.Parameter(torch.zeros(5 * len(priors)))  # flat, or it would decay like a weight
        self.fixed: FixedPriors | None = None
        self._initialise()

    def forward(self, images: Tensor) -> MultiBoxOutputs:
        merged = self._merged(images)
        hidden = self._hidden(merged) if self.fixed is None else self.fixed(merged)
        outputs = self.output(functional.relu(hidden)) + self.output_bias.view(-1, 5)  # [B, K, 5]
        return MultiBoxOutputs(outputs[..., :4], outputs[..., 4])

    def predictions(self, outputs: MultiBoxOutputs) -> tuple[Tensor, Tensor]:
        """Boxes [B, K, 4], normalised and cut at the borders of the image, and confidences [B, K] in 0-1.

        A box may be without area, or turned inside out.
        """
        boxes = decode_residuals(self.priors, outputs.residuals.float()).clamp(0, 1)
        return boxes, outputs.logits.float().sigmoid()

    def fix_priors(self) -> None:
        """Compute once what depends on the priors and the hidden layer alone; neither may change any more.

        For a network in float32 on a CPU, from which no gradients are wanted.
        """
        self.fixed = FixedPriors(self.priors, self.points, self.hidden)

    @property
    def can_quantise(self) -> bool:
        """Whether `quantise` will do."""
        return can_quantise(self.trunk)

    def quantise(self) -> None:
        """Let the trunk compute in bytes, in place, and what reads its maps; needs evaluation mode."""
        scales = cast(Trunk, self.trunk).quantise()
        self.fine, self.coarse = (
            quantised(layer, input_scale=scales[name], output_scale=None)
            for layer, name in zip((self.fine, self.coarse), self.maps, strict=True)
        )

    def _merged(self, images: Tensor) -> Tensor:
        """The sum of both maps: [B, width, H, W]."""
        maps = cast(Trunk, self.trunk).feature_maps(images)
        fine, coarse = (maps[name] for name in self.maps)
        enlarged = functional.interpolate(self.coarse(coarse), fine.shape[2:], mode="bilinear", align_corners=False)
        return functional.relu(self.mix(functional.relu(self.fine(fine) + enlarged)))

    def _hidden(self, merged: Tensor) -> Tensor:
        """What the hidden layer makes of a map at each prior, before its ReLU: [B, K, hidden]."""
        features = read_at_priors(merged, self.priors, self.points)
        shapes = prior_shapes(self.priors).to(features.dtype).expand(len(features), -1, -1)
        return cast(Tensor, self.hidden(torch.cat([features, shapes], dim=2)))

    def _initialise(self) -> None:
        """Every box is its prior, and no confidence is high."""
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.normal_(self.output.weight, std=0.01)
        for bias in (self.hidden.bias, self.output.bias):
            nn.init.zeros_(bias)
        with torch.no_grad():
            self.output_bias[4::5] = math.log(FIRST_CONFIDENCE / (1 - FIRST_CONFIDENCE))


def as_input(images: Tensor) -> Tensor:
    """Pictures uint8 [B, S, S, 3] RGB as the network reads them: [B, 3, S, S], in channels-last memory format."""
    return (images.permute(0, 3, 1, 2).float() - torch.tensor(MEAN_RGB, device=images.device).view(3, 1, 1)) * SCALE


def _normalised_convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels, eps=1e-3))
