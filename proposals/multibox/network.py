"""MultiBox: a network that proposes boxes for the objects of a whole image in one pass (arXiv 1312.2249, 1412.1441).

`MultiBox` is the network. Below it: the residuals that it predicts, how it reads a feature map at its priors, and
`FixedPriors`, which does the latter faster for inference on a CPU. All boxes here are normalised: xyxy as shares of the
image's width and height, 0-1. `proposer.py` turns the predictions into proposals of an image.
"""

import math
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from detection.runtime.int8 import can_quantise, quantised
from detection.runtime.pixels import MEAN_RGB, SCALE

FIRST_CONFIDENCE = 0.01
"""The confidence of every prediction before training, about the share of priors that have an object (our choice). With
0.5, the many priors without an object would outweigh the others in the first steps."""

STD = 0.1
"""The unit of a residual, in sides of its prior. The public MultiBox network has 0.01 of the image for all priors; ours
is relative to the prior, as IoU is, so that a residual of 1 costs a small object as much overlap as a large one."""

MIN_SIDE = 1e-3
"""The least side of a prior whose logarithm is taken, as a share of the image."""


class Trunk(Protocol):
    """The interface that `MultiBox` needs of an `nn.Module`, such as `classifier.inception.InceptionTrunk`."""

    channels: dict[str, int]

    def feature_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return maps [B, channels[name], H, W] of images [B, 3, S, S], by name."""

    def quantise(self) -> dict[str, float]:
        """Compute in int8 from now on, in place, and return the scale of each map."""


class MultiBoxOutputs(NamedTuple):
    """For each image and prior, `residuals` [B, K, 4], see `decode_residuals`, and `logits` [B, K] of confidences."""

    residuals: Tensor
    logits: Tensor


class MultiBox(nn.Module):
    """Returns a box and a confidence for each of K priors: zero-mean RGB [B, 3, S, S] -> `MultiBoxOutputs`.

    The paper has one linear layer from the whole image to all 5 K outputs. Here every prior reads the features at its
    own place, and all priors share one small perceptron (our choice). So K can be large while the weights stay few, and
    what is learned from an object in one place applies everywhere, which takes fewer images.

    Two maps of the trunk are brought to the same number of channels, the coarser one is enlarged, and they are added.
    From the sum, a prior reads points that are evenly spaced over its box, borders included, by bilinear interpolation.

    Args:
        trunk: a network with the attributes of `Trunk`.
        priors: [K, 4] normalised xyxy, kept with the weights.
        maps: names of the trunk's maps, first the finer one, then the coarser one, which is the trunk's last.
        width: number of channels of the sum.
        points: number of points in each direction of a box.
        hidden: number of units of the perceptron.
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
        self.output_bias = nn.Parameter(torch.zeros(5 * len(priors)))  # flat, since weight decay applies to matrices
        self.fixed: FixedPriors | None = None
        # Before training, every box is its prior, and every confidence is low.
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.normal_(self.output.weight, std=0.01)
        for bias in (self.hidden.bias, self.output.bias):
            nn.init.zeros_(bias)
        with torch.no_grad():
            self.output_bias[4::5] = math.log(FIRST_CONFIDENCE / (1 - FIRST_CONFIDENCE))

    def forward(self, images: Tensor) -> MultiBoxOutputs:
        maps = cast(Trunk, self.trunk).feature_maps(images)
        fine, coarse = (maps[name] for name in self.maps)
        enlarged = functional.interpolate(self.coarse(coarse), fine.shape[2:], mode="bilinear", align_corners=False)
        merged = functional.relu(self.mix(functional.relu(self.fine(fine) + enlarged)))  # [B, width, H, W]
        hidden = self._hidden(merged) if self.fixed is None else self.fixed(merged)
        outputs = self.output(functional.relu(hidden)) + self.output_bias.view(-1, 5)  # [B, K, 5]
        return MultiBoxOutputs(outputs[..., :4], outputs[..., 4])

    def predictions(self, outputs: MultiBoxOutputs) -> tuple[Tensor, Tensor]:
        """Return boxes [B, K, 4], normalised and clipped to the image, and confidences [B, K] in 0-1.

        A box may have no area, or have its corners the wrong way round.
        """
        boxes = decode_residuals(self.priors, outputs.residuals.float()).clamp(0, 1)
        return boxes, outputs.logits.float().sigmoid()

    def propose(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the `predictions` for zero-mean RGB [B, 3, S, S]."""
        return self.predictions(self(images))

    def fix_priors(self) -> None:
        """Compute once what depends only on the priors and the hidden layer, which must not change any more.

        This is for inference in float32 on a CPU: there are no gradients afterwards.
        """
        self.fixed = FixedPriors(self.priors, self.points, self.hidden)

    @property
    def can_quantise(self) -> bool:
        """True if the trunk can compute in int8."""
        return can_quantise(self.trunk)

    def quantise(self) -> None:
        """Compute in int8 from now on, in place: the trunk and the layers that read its maps. Needs evaluation mode."""
        scales = cast(Trunk, self.trunk).quantise()
        self.fine, self.coarse = (
            quantised(layer, input_scale=scales[name], output_scale=None)
            for layer, name in zip((self.fine, self.coarse), self.maps, strict=True)
        )

    def _hidden(self, merged: Tensor) -> Tensor:
        """Return the output of the hidden layer for each prior, before its ReLU: [B, K, hidden]."""
        features = read_at_priors(merged, self.priors, self.points)
        shapes = prior_shapes(self.priors).to(features.dtype).expand(features.shape[0], -1, -1)
        return cast(Tensor, self.hidden(torch.cat([features, shapes], dim=2)))


def as_input(images: Tensor) -> Tensor:
    """Turn images uint8 [B, S, S, 3] RGB into the network's input [B, 3, S, S], in channels-last memory format."""
    return (images.permute(0, 3, 1, 2).float() - torch.tensor(MEAN_RGB, device=images.device).view(3, 1, 1)) * SCALE


def encode_residuals(priors: Tensor, boxes: Tensor) -> Tensor:
    """Return how far the corners of each prior are from those of its box: [..., 4], [..., 4] -> [..., 4] in `STD`."""
    return (boxes - priors) / _residual_units(priors)


def decode_residuals(priors: Tensor, residuals: Tensor) -> Tensor:
    """Return the boxes [..., 4] of residuals, the inverse of `encode_residuals`.

    Large residuals may put the corners of a box the wrong way round, or outside the image.
    """
    return priors + residuals * _residual_units(priors)


def _residual_units(priors: Tensor) -> Tensor:
    sides = priors[..., 2:] - priors[..., :2]
    return STD * sides.repeat(*[1] * (sides.ndim - 1), 2)


def _normalised_convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels, eps=1e-3))


def read_at_priors(features: Tensor, priors: Tensor, points: int) -> Tensor:
    """Read features at points x points places evenly spaced over each prior, borders included, bilinearly.

    Args:
        features: [B, C, H, W] of the whole image.
        priors: [K, 4] normalised xyxy.
        points: number of places in each direction.

    Returns:
        [B, K, C x points x points] in the precision of the features.
    """
    places = _places(priors, points)
    across, down = places[:, None, :, 0], places[:, :, None, 1]  # [K, 1, points], [K, points, 1]
    grid = torch.stack(torch.broadcast_tensors(across, down), dim=-1).flatten(1, 2)  # [K, points x points, xy]
    grid = (2 * grid - 1).expand(features.shape[0], -1, -1, -1)  # grid_sample counts from -1 to 1
    read = functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return read.permute(0, 2, 1, 3).flatten(2).to(features.dtype)  # [B, C, K, ...] -> [B, K, C x ...]


def prior_shapes(priors: Tensor) -> Tensor:
    """Describe the centre and the sides of each prior by numbers of about -1 to 1: [K, 4] -> [K, 4]."""
    centres = priors[:, :2] + priors[:, 2:] - 1
    sides = (priors[:, 2:] - priors[:, :2]).clamp(min=MIN_SIDE).log2() / 4 + 0.5
    return torch.cat([centres, sides], dim=1)


class FixedPriors:
    """A linear layer over the features at each prior and the prior's shape: [B, C, H, W] -> [B, K, outputs].

    This computes the same as `read_at_priors`, `prior_shapes` and the layer one after the other, without gradients: the
    cells around each place are found once for a size of map, and the part of the shapes is computed only once.

    Args:
        priors: [K, 4] normalised xyxy, on a CPU like all else.
        points: number of places in each direction of a prior.
        layer: float32; its input is the features of a prior, then its shape.
    """

    def __init__(self, priors: Tensor, points: int, layer: nn.Linear) -> None:
        shapes = prior_shapes(priors.detach())
        weight = layer.weight.detach()
        feature_weight, shape_weight = weight[:, : -shapes.shape[1]], weight[:, -shapes.shape[1] :]
        channels_last = feature_weight.unflatten(1, (-1, points**2)).transpose(1, 2)
        self._weight = channels_last.flatten(1).contiguous()  # [outputs, points x points x C]
        self._constant = functional.linear(shapes, shape_weight, layer.bias.detach())  # [K, outputs]
        self._places = _places(priors.detach(), points)
        self._cells: _Cells | None = None

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        images, channels, height, width = features.shape
        cells = self._cells  # assigned as a whole, because several threads may be here
        if cells is None or cells.size != (height, width):
            cells = self._cells = _find_cells(self._places, (height, width))
        first = torch.arange(images).view(-1, 1, 1) * (height * width)  # row of each image
        read = functional.embedding_bag(
            (first + cells.indices).flatten(0, 1),
            features.permute(0, 2, 3, 1).reshape(-1, channels),
            per_sample_weights=cells.weights.expand(images, -1, -1).flatten(0, 1),
            mode="sum",
        )
        return functional.linear(read.view(images, len(self._constant), -1), self._weight) + self._constant


class _Cells(NamedTuple):
    """The four cells around each of N places in a map of `size` (height, width): row-major indices, weights [N, 4]."""

    size: tuple[int, int]
    indices: Tensor
    weights: Tensor


def _places(priors: Tensor, points: int) -> Tensor:
    """Return `points` coordinates in each direction, evenly spaced over each prior: [K, points, xy], normalised."""
    shares = torch.linspace(0, 1, points, device=priors.device).unsqueeze(1)
    return priors[:, None, :2] + shares * (priors[:, None, 2:] - priors[:, None, :2])


def _find_cells(places: Tensor, size: tuple[int, int]) -> _Cells:
    """Return the cells for bilinear interpolation at each combination of the coordinates [K, points, xy], by rows."""
    height, width = size
    columns, column_weights = _surrounding(places[:, None, :, None, None, 0], width)
    rows, row_weights = _surrounding(places[:, :, None, None, None, 1], height)
    indices = rows.transpose(3, 4) * width + columns  # [K, points, points, 2, 2]
    return _Cells(size, indices.reshape(-1, 4), (row_weights.transpose(3, 4) * column_weights).reshape(-1, 4))


def _surrounding(positions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the two cells around each position [..., 1], 0-1, in a row of `count`, and their weights: [..., 2]."""
    position = (positions * count - 0.5).clamp(0, count - 1)  # in cells, from the centre of the first
    before = position.floor()
    weight = position - before
    after = (before + 1).clamp(max=count - 1)
    return torch.cat([before, after], dim=-1).long(), torch.cat([1 - weight, weight], dim=-1)
