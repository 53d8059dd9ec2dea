"""Regions resampled by matrix products, on any device and with any interpolation.

Rows and columns are resampled separately, so a region is two matrix products: one with the weights that each pixel
column of the image has in each output column, and one with those of the rows. The cost grows with the number of pixels
of the image, which suits the small images of single regions that training reads, and a GPU.
"""

from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.layers.device_constant import device_constant

KEYS_A = -0.75
"""Parameter of the cubic kernel (Keys 1981); OpenCV and PyTorch use the same value."""

CPU_REGIONS_AT_ONCE = 256
"""Number of regions in a matrix product on a CPU. It limits the memory and does not change the result."""

GPU_BYTES_AT_ONCE = 1 << 30
"""Limit of the memory of a matrix product on a GPU, where few large products are faster than many small ones."""


class Interpolation(IntEnum):
    """The ways to combine pixels into output pixels.

    AREA is the exact mean over the footprint of the output pixel, which is at least one pixel wide, so it equals
    BILINEAR where a region is enlarged. The others sample single points, which causes aliasing where a region is
    shrunk, as in the papers.
    """

    AREA = 0
    BILINEAR = 1
    NEAREST = 2
    CUBIC = 3


def resample_regions(
    images: Tensor, windows: Tensor, *, size: int, mean: tuple[float, float, float], kinds: NDArray[np.uint8]
) -> Tensor:
    """Return regions of images, resampled to S x S pixels, minus `mean`; see `classifier.warp.crop.warp_regions`.

    Args:
        images: [B, H, W, 3] uint8 RGB.
        windows: [B, N, 4] xyxy in pixels, the N regions of each image with their context.
        size: side S of the output, in pixels.
        mean: RGB, 0-255.
        kinds: [B, N] values of `Interpolation`. They are on the host, so that nothing waits for a GPU.

    Returns:
        [B, N, 3, S, S] float32; what lies outside of the image is zero.
    """
    height = images.shape[1]
    centred = images.permute(0, 2, 1, 3).float() - device_constant(mean, images.device)  # [B, W, H, 3]
    columns_first = centred.flatten(2)  # [B, W, H * 3]
    output = torch.empty((*windows.shape[:2], size, size, 3), device=images.device)
    at_once = max(1, GPU_BYTES_AT_ONCE // (12 * size * height)) if images.is_cuda else CPU_REGIONS_AT_ONCE
    images_at_once = max(1, at_once // max(1, windows.shape[1]))
    for first_image in range(0, len(windows), images_at_once):
        for first_region in range(0, windows.shape[1], at_once):
            chunk = slice(first_image, first_image + images_at_once), slice(first_region, first_region + at_once)
            output[chunk] = _resample(columns_first[chunk[0]], windows[chunk].float(), size, height, kinds[chunk])
    return output.permute(0, 1, 4, 2, 3)


def _resample(columns_first: Tensor, windows: Tensor, size: int, height: int, kinds: NDArray[np.uint8]) -> Tensor:
    """Return the regions [b, n, S, S, 3] of images [b, W, H * 3], which are given column by column."""
    count, width = windows.shape[:2], columns_first.shape[1]
    # The weights of both axes are computed at once: first those of x for all regions, then those of y.
    low, high = windows.reshape(-1, 2, 2).permute(1, 2, 0).flatten(1)  # [2 * b * n] each
    weights = resampling_weights(low, high, size, length=max(width, height), kinds=np.tile(kinds.ravel(), 2))
    columns, rows = weights.view(2, -1, *weights.shape[1:])  # [b * n, S, L] each
    narrow = columns[..., :width].reshape(len(windows), -1, width) @ columns_first  # [b, n * S, H * 3]
    turned = narrow.view(-1, size, height, 3).transpose(1, 2).reshape(-1, height, size * 3)
    regions: Tensor = rows[..., :height] @ turned
    return regions.view(*count, size, size, 3)


def resampling_weights(low: Tensor, high: Tensor, size: int, *, length: int, kinds: NDArray[np.uint8]) -> Tensor:
    """Return the weight of each pixel of an axis in each of `size` output pixels that divide low-high evenly.

    Args:
        low: [N] start of each region on the axis, in pixels.
        high: [N] end of each region.
        size: number S of output pixels.
        length: number L of pixels of the image on this axis. Pixels beyond it have no weight, so they count as zeros.
        kinds: [N] values of `Interpolation`, on the host, which has to know which kernels to compute.

    Returns:
        [N, S, L] in the type of `low`; each row sums to 1 if the output pixel lies inside the image.
    """
    step = (high - low) / size
    centres = low.unsqueeze(1) + step.unsqueeze(1) * (torch.arange(size, device=low.device, dtype=low.dtype) + 0.5)
    pixels = torch.arange(length, device=low.device, dtype=low.dtype)
    width = step.clamp(min=1)
    if (kinds != Interpolation.AREA).any():
        width = torch.where(_on_device(kinds == Interpolation.AREA, low.device), width, 1)
    width = width.view(-1, 1, 1)
    left = centres.unsqueeze(2) - width / 2  # [N, S, 1]
    weights = ((left + width).clamp(max=pixels + 1) - left.clamp(min=pixels)).clamp_(min=0) / width  # [N, S, L]
    for kind, kernel in ((Interpolation.NEAREST, _nearest), (Interpolation.CUBIC, _cubic)):
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            rows = _on_device(chosen, low.device)
            weights[rows] = kernel(centres[rows].unsqueeze(2), pixels)
    return weights


def _on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy values to the device; the host does not wait for it."""
    return torch.from_numpy(values).to(device, non_blocking=True)


def _nearest(centres: Tensor, pixels: Tensor) -> Tensor:
    return (centres.floor() == pixels).to(centres.dtype)


def _cubic(centres: Tensor, pixels: Tensor) -> Tensor:
    distance = (centres - 0.5 - pixels).abs()
    near = ((KEYS_A + 2) * distance - (KEYS_A + 3)) * distance**2 + 1
    far = ((KEYS_A * distance - 5 * KEYS_A) * distance + 8 * KEYS_A) * distance - 4 * KEYS_A
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0))
