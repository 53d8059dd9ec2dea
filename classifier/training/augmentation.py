"""Random distortions of training regions: they are drawn for each region, and applied to a whole batch at once.

A loader process draws a few numbers for each region, from the random numbers of the sample, so the result depends
neither on the device nor on the number of processes. The pixels are distorted later, on the device of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.layers.device_constant import device_constant
from classifier.warp.matrices import Interpolation
from detection.runtime.pixels import MEAN_RGB
from detection.structures.arrays import BoolArray, FloatArray
from detection.structures.ranges import require_range
from detection.training.sample_order import normal_numbers

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a colour (ITU-R BT.601, as in Pillow)."""

PRINCIPAL_COLOURS = (
    (0.5667, 0.5844, 0.5808),
    (0.7208, -0.0103, -0.6930),
    (0.3991, -0.8114, 0.4271),
)
"""Unit vectors: principal components of RGB, measured on every fourth pixel of 20,000 pictures of Tiny ImageNet."""

COLOUR_VARIANCES = (0.2034, 0.0179, 0.0038)
"""Variances of the pixels along the principal colours, in the same measurement, for pixels in 0-1."""

NUMBERS = 8
"""The number of random numbers that are drawn for a region."""


class Draws(NamedTuple):
    """The distortions of R regions, as the loader draws them.

    `mirrored` [R] bool; `interpolation` uint8 [R], values of `Interpolation`; `gains` [R, 3], factors on brightness,
    contrast and saturation, where 1 changes nothing; `lighting` [R, 3], shifts along the principal colours in multiples
    of their variances (section 4.1 of the AlexNet paper).
    """

    mirrored: BoolArray
    interpolation: NDArray[np.uint8]
    gains: FloatArray
    lighting: FloatArray

    def take(self, rows: slice) -> Draws:
        """Return the draws of some rows."""
        return Draws(self.mirrored[rows], self.interpolation[rows], self.gains[rows], self.lighting[rows])


class Distortions(NamedTuple):
    """The draws of a batch of N regions, on the device of the batch.

    Only `interpolation` stays on the host, which must know it to choose what to compute.
    """

    mirrored: Tensor
    interpolation: NDArray[np.uint8]
    gains: Tensor
    lighting: Tensor

    @classmethod
    def join(cls, drawn: Sequence[Draws]) -> Distortions:
        """Return the draws of several samples, one after the other, on the CPU."""
        mirrored, interpolation, gains, lighting = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return cls(torch.from_numpy(mirrored), interpolation, torch.from_numpy(gains), torch.from_numpy(lighting))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Draws distortions; the defaults are those of the papers.

    Args:
        mirror: probability that a region is mirrored
        interpolations: one of these is chosen for each region, with equal probability (GoogLeNet, section 6)
        photometric: half the range of the factors on brightness, contrast and saturation (Howard 2013: 0.5 to 1.5)
        lighting: standard deviation of the shifts along the principal colours (AlexNet, section 4.1)

    Raises:
        ValueError: for numbers out of range.
    """

    mirror: float = 0.5
    interpolations: tuple[Interpolation, ...] = tuple(Interpolation)
    photometric: float = 0.5
    lighting: float = 0.1

    def __post_init__(self) -> None:
        require_range(0, 1, mirror=self.mirror, photometric=self.photometric)
        require_range(0, 100, lighting=self.lighting)
        if not self.interpolations:
            raise ValueError("interpolations must be one or more, got none")

    def draw(self, numbers: NDArray[np.float64]) -> Draws:
        """Return the distortions of R regions, made from uniform random numbers in 0-1 [R, NUMBERS]."""
        kinds = (numbers[:, 1] * len(self.interpolations)).astype(np.int64)
        return Draws(
            numbers[:, 0] < self.mirror,
            np.array(self.interpolations, np.uint8)[kinds],
            (1 + self.photometric * (2 * numbers[:, 2:5] - 1)).astype(np.float32),
            (self.lighting * normal_numbers(numbers[:, 5:8])).astype(np.float32),
        )


def no_distortions(count: int) -> Draws:
    """Return distortions of `count` regions that change nothing, for measuring."""
    kinds = np.full(count, Interpolation.AREA, np.uint8)
    zeros = np.zeros((count, 3), np.float32)
    return Draws(np.zeros(count, np.bool_), kinds, zeros + 1, zeros)


def distort(regions: Tensor, distortions: Distortions, mean: tuple[float, float, float] = MEAN_RGB) -> Tensor:
    """Mirror regions and change their colours.

    The changes of brightness, contrast and saturation are affine maps of a pixel's colour that commute. So they are
    applied as a single map, and their order, which Howard draws too, does not matter. The values are clipped to 0-255
    after this map, and the shift of the lighting is added then.

    Args:
        regions: [N, 3, S, S] RGB minus `mean`, as `warp_regions` returns them.
        distortions: the distortions of the N regions; their interpolation is used by `warp_regions`.
        mean: the mean colour that was subtracted, 0-255.

    Returns:
        [N, 3, S, S] in the same form.
    """
    offset = device_constant(mean, regions.device)
    average = regions.mean(dim=(2, 3)) + offset  # [N, 3]
    matrix, shift = _colour_map(average, distortions)
    shift = shift + matrix @ offset.unsqueeze(1)
    coloured = torch.baddbmm(shift, matrix, regions.flatten(2)).clamp_(0, 255)
    change = _lighting(distortions.lighting) - offset  # [N, 3]
    result = (coloured + change.unsqueeze(2)).view_as(regions)
    return torch.where(distortions.mirrored.view(-1, 1, 1, 1), result.flip(3), result)


def _colour_map(average: Tensor, distortions: Distortions) -> tuple[Tensor, Tensor]:
    """Return the photometric changes as a matrix [N, 3, 3] and a shift [N, 3, 1], given the `average` colours [N, 3].

    Contrast c blends a colour x with the grey of the region's average: c x + (1 - c) w . average, where w are the
    weights `GREY`. Saturation s blends it with its own grey: s x + (1 - s) w . x. Brightness b multiplies it: b x.
    """
    grey = device_constant(GREY, average.device)
    brightness, contrast, saturation = distortions.gains.view(-1, 3, 1, 1).unbind(1)  # [N, 1, 1]
    own_grey = saturation * device_constant(IDENTITY, average.device) + (1 - saturation) * grey.expand(3, 3)
    shift = (1 - contrast) * brightness * (average @ grey).view(-1, 1, 1)
    return brightness * contrast * own_grey, shift.expand(-1, 3, 1)


def _lighting(shifts: Tensor) -> Tensor:
    """Return shifts along the principal colours [N, 3] as changes of RGB [N, 3], 0-255."""
    variances = device_constant(COLOUR_VARIANCES, shifts.device)
    return (shifts * variances) @ device_constant(PRINCIPAL_COLOURS, shifts.device) * 255
