"""What a feature map says at the place of each prior.

`read_at_priors` is for training, on any device; `FixedPriors` computes the same, and the linear layer over it, on a CPU
once neither the priors nor the layer change any more.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_SIDE = 1e-3
"""Of a prior, in shares of the image: shorter ones count as this in its logarithm."""


def read_at_priors(features: Tensor, priors: Tensor, points: int) -> Tensor:
    """Features at points x points spots evenly spaced over each prior, its borders included, interpolated bilinearly.

    Args:
        features: [B, C, H, W] of the whole image.
        priors: [K, 4] normalised xyxy.
        points: in each direction.

    Returns:
        [B, K, C x points x points] in the precision of the features.
    """
    spots = _spots(priors, points)
    across, down = spots[:, None, :, 0], spots[:, :, None, 1]  # [K, 1, points], [K, points, 1]
    grid = torch.stack(torch.broadcast_tensors(across, down), dim=-1).flatten(1, 2)  # [K, points x points, xy]
    grid = (2 * grid - 1).expand(len(features), -1, -1, -1)  # grid_sample counts from -1 to 1
    read = functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return read.permute(0, 2, 1, 3).flatten(2).to(features.dtype)  # [B, C, K, ...] -> [B, K, C x ...]


def prior_shapes(priors: Tensor) -> Tensor:
    """Where each prior is and how large, within about -1 to 1: [K, 4] -> [K, 4]."""
    centres = priors[:, :2] + priors[:, 2:] - 1
    sides = (priors[:, 2:] - priors[:, :2]).clamp(min=MIN_SIDE).log2() / 4 + 0.5
    return torch.cat([centres, sides], dim=1)


class FixedPriors:
    """A linear layer over what a map says at each prior and over the prior's shape: [B, C, H, W] -> [B, K, outputs].

    The same as `read_at_priors`, `prior_shapes` and the layer one after the other, without gradients: between which
    cells a spot lies is found out once for a size of map, and what the shapes add once and for all.

    Args:
        priors: [K, 4] normalised xyxy, on a CPU as all else.
        points: in each direction.
        layer: float32, of the features of a prior, then its shape.
    """

    def __init__(self, priors: Tensor, points: int, layer: nn.Linear) -> None:
        shapes = prior_shapes(priors.detach())
        weight = layer.weight.detach()
        of_features, of_shapes = weight[:, : -shapes.shape[1]], weight[:, -shapes.shape[1] :]
        of_features = of_features.unflatten(1, (-1, points**2)).transpose(1, 2)  # channels last, as in the map
        self._weight = of_features.flatten(1).contiguous()  # [outputs, points x points x C]
        self._constant = functional.linear(shapes, of_shapes, layer.bias.detach())  # [K, outputs]
        self._places = _spots(priors.detach(), points)
        self._cells: _Cells | None = None

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        images, channels, height, width = features.shape
        cells = self._cells  # assigned as a whole, as several threads may be here
        if cells is None or cells.size != (height, width):
            cells = self._cells = _find_cells(self._places, (height, width))
        first = torch.arange(images).view(-1, 1, 1) * (height * width)  # row of each image
        read = functional.embedding_bag(
            (first + cells.indices).flatten(0, 1),
            features.permute(0, 2, 3, 1).reshape(-1, channels),
            per_sample_weights=cells.shares.expand(images, -1, -1).flatten(0, 1),
            mode="sum",
        )
        return functional.linear(read.view(images, len(self._constant), -1), self._weight) + self._constant


class _Cells(NamedTuple):
    """Of N spots in a map of `size` (height, width) the cells around them, row-major, and their shares: [N, 4] each."""

    size: tuple[int, int]
    indices: Tensor
    shares: Tensor


def _spots(priors: Tensor, points: int) -> Tensor:
    """Coordinates of `points` spots in either direction, evenly spaced over each prior: [K, points, xy], normalised."""
    shares = torch.linspace(0, 1, points, device=priors.device).unsqueeze(1)
    return priors[:, None, :2] + shares * (priors[:, None, 2:] - priors[:, None, :2])


def _find_cells(spots: Tensor, size: tuple[int, int]) -> _Cells:
    """For bilinear interpolation at each combination of the coordinates [K, points, xy], x changing first."""
    height, width = size
    columns, column_shares = _neighbours(spots[:, None, :, None, None, 0], width)
    rows, row_shares = _neighbours(spots[:, :, None, None, None, 1], height)
    indices = rows.transpose(3, 4) * width + columns  # [K, points, points, 2, 2]
    return _Cells(size, indices.reshape(-1, 4), (row_shares.transpose(3, 4) * column_shares).reshape(-1, 4))


def _neighbours(places: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Of places [..., 1], 0-1, along a row of cells the cells before and after, and their shares: [..., 2] each."""
    place = (places * cells - 0.5).clamp(0, cells - 1)  # in cells, from the centre of the first
    before = place.floor()
    share = place - before
    after = (before + 1).clamp(max=cells - 1)
    return torch.cat([before, after], dim=-1).long(), torch.cat([1 - share, share], dim=-1)
