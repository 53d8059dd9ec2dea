"""Warped regions by samples of the image, or of its integral image, on any device: many regions by few operations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

REGIONS_AT_ONCE = 256
"""Bounds the memory of the sampling grids; of no influence on the result."""


def sample(centred: Tensor, windows: Tensor, size: int, image_index: Tensor) -> Tensor:
    """Means over the footprints of output pixels; see `warp_regions`.

    Args:
        centred: [B, 3, H, W] images, minus the mean.
        windows: [N, 4] float64 xyxy in pixels of the images.
        size: side S of the output.
        image_index: [N]: the image of each window.

    Returns:
        [N, 3, S, S] float32.
    """
    output = torch.empty((len(windows), 3, size, size), device=centred.device)
    # An axis is shrunk where the footprint of an output pixel is a pixel or more. The three cases agree where they
    # meet; they differ in how many samples an output pixel needs: 1, 1 and 4.
    shrunk = windows[:, 2:] - windows[:, :2] >= size  # [B * N, 2]
    enlarged = (~shrunk).all(1)
    for chunk in _chunks(enlarged):
        output[chunk] = _interpolate(of_regions(centred, image_index[chunk]), windows[chunk], size)
    if not enlarged.all():
        integral = _integral_image(centred)
        for case, shared_edges in ((shrunk.all(1), True), (shrunk.any(1) & ~shrunk.all(1), False)):
            for chunk in _chunks(case):
                source = of_regions(integral, image_index[chunk])
                output[chunk] = _average(source, windows[chunk], size, shared_edges=shared_edges)
    return output


def _chunks(selected: Tensor) -> list[Tensor]:
    """Indices of the selected regions, a bounded number at a time."""
    return list(selected.nonzero().squeeze(1).split(REGIONS_AT_ONCE))


def of_regions(sources: Tensor, image_index: Tensor) -> Tensor:
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
