"""Residuals of boxes to priors, which is what MultiBox predicts.

All boxes here are normalised: xyxy as shares of the image's width and height, 0-1.
"""

from __future__ import annotations

from torch import Tensor

STD = 0.1
"""Unit of a residual, in sides of its prior. The public MultiBox network has 0.01 of the image for all priors; ours is
relative, because an overlap is: one deviation is to mean the same for a small object as for a large one."""


def encode_residuals(priors: Tensor, boxes: Tensor) -> Tensor:
    """What moves the corners of each prior onto those of its box: [..., 4], [..., 4] -> [..., 4] in units of `STD`."""
    return (boxes - priors) / _units(priors)


def decode_residuals(priors: Tensor, residuals: Tensor) -> Tensor:
    """The inverse of `encode_residuals`. A wild residual can turn a box inside out, or move it out of the image."""
    return priors + residuals * _units(priors)


def _units(priors: Tensor) -> Tensor:
    sides = priors[..., 2:] - priors[..., :2]
    return STD * sides.repeat(*[1] * (sides.ndim - 1), 2)
