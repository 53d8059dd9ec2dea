"""Box regression targets: a ground truth as seen from a region (arXiv 1311.2524, appendix C).

A region is moved by shares of its own sides and scaled by factors, so the same deltas fit a region at any place and
size. They are stored in units of `DELTA_STDS`, in which they are about 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from classifier.layers.device_constant import device_constant

DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
"""Unit of each delta: the fixed standard deviations that Fast R-CNN's successors divide by (`BBOX_NORMALIZE_STDS`)."""

MIN_SIDE = 1.0
"""Shorter sides, in pixels, count as this, so that a box without area has finite deltas."""

MAX_LOG_SCALE = math.log(1000 / 16)
"""Our choice: no side grows more than from 16 to 1000 pixels. The exponential of a wild output would overflow."""


def encode_boxes(regions: Tensor, targets: Tensor) -> Tensor:
    """What moves each region onto its target: (dx / w, dy / h, log of the widths' ratio, of the heights' ratio).

    Args:
        regions: [N, 4] xyxy in pixels.
        targets: [N, 4] xyxy in pixels, the ground truth of each region.

    Returns:
        Deltas [N, 4] in units of `DELTA_STDS`.

    Raises:
        ValueError: for shapes that do not fit.
    """
    if regions.ndim != 2 or regions.shape[1] != 4 or regions.shape != targets.shape:
        shapes = f"{list(regions.shape)} and {list(targets.shape)}"
        raise ValueError(f"regions and targets must both have shape [N, 4], got {shapes}")
    centres, sides = _centres_and_sides(regions)
    target_centres, target_sides = _centres_and_sides(targets)
    deltas = torch.cat([(target_centres - centres) / sides, (target_sides / sides).log()], dim=1)
    return deltas / device_constant(DELTA_STDS, deltas.device, deltas.dtype)


def decode_boxes(regions: Tensor, deltas: Tensor, size: tuple[int, int]) -> Tensor:
    """The regions as moved for each class, cut at the borders of the image; the inverse of `encode_boxes`.

    Args:
        regions: [N, 4] xyxy in pixels.
        deltas: [N, C, 4] in units of `DELTA_STDS`.
        size: (height, width) of the image.

    Returns:
        Boxes [N, C, 4] xyxy in pixels, within the image; they may be without area.

    Raises:
        ValueError: for shapes that do not fit.
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
    """Deltas [..., 4] of mirrored regions, left and right exchanged, as those of the regions; its own inverse."""
    return deltas * device_constant((-1.0, 1.0, 1.0, 1.0), deltas.device, deltas.dtype)


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides, x before y: [..., 4] -> [..., 2] and [..., 2]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides.clamp(min=MIN_SIDE)
