"""From boxes to the network's square input: the one crop that training, inference and drawing share.

The geometry is R-CNN's (arXiv 1311.2524, appendix A; `rcnn_im_crop.m`): the box grows about its centre so that
`context` pixels of surroundings show on each side of the S x S input, the aspect ratio is given up, and what lies
outside the image holds the mean, which is zero after subtraction. Two things differ. The enlarged box is not rounded
to whole pixels. And where R-CNN sampled single pixels when it shrank a region, which aliases, every output pixel here
is the mean over its footprint, taken from an integral image (Crow 1984): one pass over the image, and then every region
costs the same, whatever its size.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from classifier.device_constant import device_constant
from classifier.resampling import resampling_weights
from detection.pixels import MEAN_RGB

REGIONS_AT_ONCE = 256
"""Bounds the memory of the sampling grids; of no influence on the result."""


def context_boxes(boxes: Tensor, *, size: int, context: int) -> Tensor:
    """Boxes [..., 4] grown about their centres by S / (S - 2p): p = `context` pixels of the input surround them.

    Raises:
        ValueError: unless 0 <= 2 * context < size.
    """
    if not 0 <= 2 * context < size:
        raise ValueError(f"context must be at least 0 and less than half of size {size}, got {context}")
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) / 2 * (size / (size - 2 * context))
    return torch.cat([centre - half, centre + half], dim=-1)


def warp_regions(
    images: Tensor,
    boxes: Tensor,
    *,
    size: int,
    context: int = 0,
    mean: tuple[float, float, float] = MEAN_RGB,
    interpolation: NDArray[np.uint8] | None = None,
) -> Tensor:
    """Crop and resize regions, on the device of `images`.

    An output pixel is the image convolved with a box of the pixel's footprint, at least one pixel wide: bilinear
    interpolation where a region is enlarged, the exact area mean where it is shrunk. Training may ask for others.

    Args:
        images: [B, H, W, 3] uint8 RGB.
        boxes: [B, N, 4] xyxy in pixels, N regions of each image; parts outside the image become zero.
        size: side S of the output, in pixels.
        context: pixels of the output on each side that show the surroundings of the box.
        mean: RGB, 0-255, subtracted from the image.
        interpolation: [B, N] of `classifier.resampling.Interpolation`, for training; AREA for all if None. It is
            an array since the host has to know it; with it, nothing waits for a GPU.

    Returns:
        [B, N, 3, S, S] float32, RGB minus mean.

    Raises:
        ValueError: for shapes that do not fit, or a context of half the size or more.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must have shape [B, H, W, 3], got {list(images.shape)}")
    if boxes.ndim != 3 or boxes.shape[0] != len(images) or boxes.shape[-1] != 4:
        raise ValueError(f"boxes must have shape [{len(images)}, N, 4], got {list(boxes.shape)}")
    centred = images.permute(0, 3, 1, 2).float() - device_constant(mean, images.device).view(3, 1, 1)
    windows = context_boxes(boxes.to(images.device, torch.float64), size=size, context=context).flatten(0, 1)
    image_index = torch.arange(len(images), device=images.device).repeat_interleave(boxes.shape[1])
    if interpolation is not None:
        regions = _multiply(centred, windows, size, image_index, interpolation.ravel())
        return regions.view(*boxes.shape[:2], 3, size, size)
    return _sample(centred, windows, size, image_index).view(*boxes.shape[:2], 3, size, size)


def _multiply(centred: Tensor, windows: Tensor, size: int, image_index: Tensor, kinds: NDArray[np.uint8]) -> Tensor:
    """Regions [n, 3, S, S] by two matrix products each."""
    output = torch.empty((len(windows), size, size, 3), device=centred.device)
    turned = centred.permute(0, 3, 2, 1).flatten(2)  # [B, W, H * 3]
    height, width = centred.shape[2:]
    # The host launches dozens of kernels a chunk, and the network that is trained keeps far more of a region than this.
    at_once = REGIONS_AT_ONCE if centred.device.type == "cpu" else max(1, len(windows))
    for start in range(0, len(windows), at_once):
        chunk = slice(start, start + at_once)
        low, high = windows[chunk].float().view(-1, 2, 2).permute(1, 2, 0).flatten(1)  # [2 n], first of x, then of y
        both = resampling_weights(low, high, size, length=max(width, height), kinds=np.tile(kinds[chunk], 2))
        columns, rows = both.view(2, -1, *both.shape[1:])
        columns, rows = columns[..., :width], rows[..., :height]
        images = turned[chunk] if len(turned) == len(windows) else _of_regions(turned, image_index[chunk])
        narrow = columns @ images  # [n, S, H * 3]
        lying = narrow.view(-1, size, height, 3).transpose(1, 2).reshape(-1, height, size * 3)
        output[chunk] = (rows @ lying).view(-1, size, size, 3)
    return output.permute(0, 3, 1, 2)


def _sample(centred: Tensor, windows: Tensor, size: int, image_index: Tensor) -> Tensor:
    """Regions [n, 3, S, S] by samples of the image, or of its integral image."""
    output = torch.empty((len(windows), 3, size, size), device=centred.device)
    # An axis is shrunk where the footprint of an output pixel is a pixel or more. The three cases agree where they
    # meet; they differ in how many samples an output pixel needs: 1, 1 and 4.
    shrunk = windows[:, 2:] - windows[:, :2] >= size  # [B * N, 2]
    enlarged = (~shrunk).all(1)
    for chunk in _chunks(enlarged):
        output[chunk] = _interpolate(_of_regions(centred, image_index[chunk]), windows[chunk], size)
    if not enlarged.all():
        integral = _integral_image(centred)
        for case, shared_edges in ((shrunk.all(1), True), (shrunk.any(1) & ~shrunk.all(1), False)):
            for chunk in _chunks(case):
                source = _of_regions(integral, image_index[chunk])
                output[chunk] = _average(source, windows[chunk], size, shared_edges=shared_edges)
    return output


def _chunks(selected: Tensor) -> list[Tensor]:
    """Indices of the selected regions, a bounded number at a time."""
    return list(selected.nonzero().squeeze(1).split(REGIONS_AT_ONCE))


def _of_regions(sources: Tensor, image_index: Tensor) -> Tensor:
    """The source of each region, [B, ...] -> [n, ...], without a copy where there is one image."""
    return sources.expand(len(image_index), *sources.shape[1:]) if len(sources) == 1 else sources[image_index]


def _integral_image(centred: Tensor) -> Tensor:
    """Sums over all that is above and left of each pixel corner: [B, 3, H, W] -> float64 [B, 3, H + 1, W + 1]."""
    return functional.pad(centred.double(), (1, 0, 1, 0)).cumsum_(2).cumsum_(3)


def _interpolate(centred: Tensor, windows: Tensor, size: int) -> Tensor:
    """Bilinear samples at the centres of the output pixels: [n, 3, H, W], [n, 4] -> [n, 3, S, S]."""
    x, y = (_centres(windows[:, axis], windows[:, axis + 2], size) for axis in (0, 1))
    grid = _sampling_grid(x, y, *centred.shape[-2:]).to(centred.dtype)
    return functional.grid_sample(centred, grid, padding_mode="zeros", align_corners=False)


def _average(integral: Tensor, windows: Tensor, size: int, *, shared_edges: bool) -> Tensor:
    """Means over the footprints of the output pixels: [n, 3, H + 1, W + 1], [n, 4] -> [n, 3, S, S].

    The integral image is constant beyond the borders, so the outside counts as zero.
    """
    edges = _shared_edges if shared_edges else _separate_edges
    x, y = (edges(windows[:, axis], windows[:, axis + 2], size) for axis in (0, 1))  # [n, E]
    height, width = integral.shape[-2] - 1, integral.shape[-1] - 1
    grid = _sampling_grid(x, y, height, width)
    corners = functional.grid_sample(integral, grid, padding_mode="border", align_corners=True)  # [n, 3, E, E]
    step = 1 if shared_edges else size
    rows = corners[..., step:, :] - corners[..., :-step, :]
    sums = rows[..., step:] - rows[..., :-step]  # [n, 3, S, S]
    area = (y[:, step:] - y[:, :-step]).unsqueeze(2) * (x[:, step:] - x[:, :-step]).unsqueeze(1)  # [n, S, S]
    return (sums / area.unsqueeze(1)).float()


def _centres(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Centres of `size` output pixels that tile low-high: [n] -> [n, S]."""
    steps = torch.arange(size, device=low.device, dtype=low.dtype) + 0.5
    return low.unsqueeze(1) + (high - low).unsqueeze(1) * (steps / size)


def _shared_edges(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Edges of output pixels that tile low-high, each the end of one pixel and the start of the next: [n, S + 1]."""
    steps = torch.arange(size + 1, device=low.device, dtype=low.dtype)
    return low.unsqueeze(1) + (high - low).unsqueeze(1) * (steps / size)


def _separate_edges(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Starts, then ends of footprints at least one pixel wide, which overlap where low-high is enlarged: [n, 2 S]."""
    half = ((high - low) / size).clamp(min=1).unsqueeze(1) / 2
    centres = _centres(low, high, size)
    return torch.cat([centres - half, centres + half], dim=1)


def _sampling_grid(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Positions in pixels [n, P], [n, Q] as the grid [n, Q, P, 2] of `grid_sample`, where -1 and 1 are the borders."""
    horizontal = (2 * x / width - 1).unsqueeze(1).expand(-1, y.shape[1], -1)
    vertical = (2 * y / height - 1).unsqueeze(2).expand(-1, -1, x.shape[1])
    return torch.stack([horizontal, vertical], dim=-1)
