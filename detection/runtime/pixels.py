"""The scale of pixel values that the networks read."""

from __future__ import annotations

from torch import Tensor

MEAN_RGB = (122.7, 116.7, 104.0)
"""Mean colour of ImageNet that the Caffe models subtract, in RGB order."""

SCALE = 1 / 58
"""One over the standard deviation of ImageNet's pixels, about 58 in each channel."""


def normalise(regions: Tensor) -> Tensor:
    """Pixels whose mean is zero, scaled to the unit variance that the networks are trained with."""
    return regions * SCALE
