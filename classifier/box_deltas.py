"""`RegionOutputs`: what a network says of regions, and the deltas among it, the unit in which boxes are regressed.

Box regression moves a region onto the object that it shows (R-CNN, arXiv 1311.2524, appendix C). The network predicts
four deltas for each class: the shift of the centre as a share of the region's sides, and the logarithms of the factors
on its sides. The same deltas therefore fit a region at any place and of any size. They are divided by `DELTA_STDS`,
which brings them to about 1.

All functions take NumPy arrays or tensors, and return the same kind.
"""

import math
from typing import NamedTuple

import numpy as np

from detection.structures.arrays import AnyArray, as_kind_of, namespace

DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
"""Unit of each delta: the standard deviations that Fast R-CNN's successors divide by (`BBOX_NORMALIZE_STDS`)."""

MIN_SIDE = 1.0
"""Shorter sides, in pixels, count as this length, so that the deltas of a box without area are finite."""

MAX_LOG_SCALE = math.log(1000 / 16)
"""The largest logarithm of a factor on a side (our choice): enough to grow from 16 to 1000 pixels, and no overflow."""


class RegionOutputs(NamedTuple):
    """Outputs of a network for N regions.

    `logits` are [N, C + 1], or margins [N, C] where the class layer holds SVMs. `deltas` are [N, C, 4] in units of
    `DELTA_STDS`, or None if the network does not refine boxes.
    """

    logits: AnyArray
    deltas: AnyArray | None


def encode_boxes(regions: AnyArray, targets: AnyArray) -> AnyArray:
    """Return the deltas that move each region onto its target.

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
    arrays = namespace(regions)
    centres, sides = _centres_and_sides(regions)
    target_centres, target_sides = _centres_and_sides(targets)
    shifts = (target_centres - centres) / sides
    return arrays.concatenate([shifts, arrays.log(target_sides / sides)], 1) / _constant(DELTA_STDS, shifts)


def decode_boxes(regions: AnyArray, deltas: AnyArray, size: tuple[int, int]) -> AnyArray:
    """Return the box of each region and class, moved by the deltas and clipped: the inverse of `encode_boxes`.

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
    arrays = namespace(deltas)
    centres, sides = _centres_and_sides(regions[:, None])  # [N, 1, 2]
    deltas = deltas * _constant(DELTA_STDS, deltas)
    centres = centres + deltas[..., :2] * sides  # [N, C, 2]
    half = arrays.exp(arrays.clip(deltas[..., 2:], None, MAX_LOG_SCALE)) * sides / 2
    height, width = size
    borders = as_kind_of(deltas, np.array([width, height, width, height], np.float32))
    return arrays.minimum(arrays.clip(arrays.concatenate([centres - half, centres + half], 2), 0, None), borders)


def mirror_deltas(deltas: AnyArray) -> AnyArray:
    """Return the deltas [..., 4] of regions for those of their mirror images; the function is its own inverse."""
    return deltas * _constant((-1.0, 1.0, 1.0, 1.0), deltas)


def _centres_and_sides(boxes: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return the centres (x, y) and sides (width, height) of boxes: [..., 4] -> [..., 2] and [..., 2]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, namespace(boxes).clip(sides, MIN_SIDE, None)


def _constant(values: tuple[float, ...], example: AnyArray) -> AnyArray:
    """Return the values as an array of the kind of `example`, on its device and of its number type."""
    if isinstance(example, np.ndarray):
        return np.array(values, example.dtype)
    from classifier.layers.device_constant import device_constant  # noqa: PLC0415  imports PyTorch

    return device_constant(values, example.device, example.dtype)
