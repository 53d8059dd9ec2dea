# ruff: noqa: N803  constants of a kernel are in capitals
"""Crop, scale and pack regions in one pass on a GPU, in Triton: from an image to the input of the networks.

An output pixel is the mean over its footprint, which is at least one pixel wide. It is computed from an integral image
read at 4x4 places: at two neighbouring places for each of the four edges, since edges lie between pixels. The sums are
whole numbers and may overflow, but only their differences over one footprint matter, and these are exact in 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from classifier.layers.gpu.packed_input import BLOCKS_BEFORE, CHANNELS, packed_side
from classifier.warp.crop import ImageRegions, context_boxes
from detection.runtime.pixels import MEAN_RGB, SCALE

BLOCK = 128
"""Number of output pixels that one program computes."""

COLOURS = 4
"""Colours of the integral image; the fourth is empty, so that a pixel is one read of 16 bytes."""


@triton.jit  # type: ignore[untyped-decorator]
def _edges(place, low, high, length, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Find the footprints, along one axis, of the output pixels `place` of a region that spans low-high.

    It returns the number of whole pixels before the start and the share of the next pixel before it, the same two for
    the end, the length of the footprint within the image, and its whole length.
    """
    step = (high - low) / SIZE
    whole = tl.maximum(step, 1.0)
    centre = low + (place.to(tl.float64) + 0.5) * step
    start = tl.minimum(tl.maximum(centre - whole / 2, 0.0), length.to(tl.float64))
    end = tl.minimum(tl.maximum(centre + whole / 2, 0.0), length.to(tl.float64))
    before_start = tl.minimum(start.to(tl.int32), length - 1)
    before_end = tl.minimum(end.to(tl.int32), length - 1)
    start_share = (start - before_start.to(tl.float64)).to(tl.float32)
    end_share = (end - before_end.to(tl.float64)).to(tl.float32)
    return before_start, start_share, before_end, end_share, (end - start).to(tl.float32), whole.to(tl.float32)


@triton.jit
def _across(first, second, third, fourth, start_share, end_share):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Interpolate the sum between two edges within pixels from the sums before and after these pixels."""
    whole = (third - first).to(tl.float32)
    return whole - start_share * (second - first).to(tl.float32) + end_share * (fourth - third).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _warp(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    integral, windows, target, height, width, SIZE: tl.constexpr, SIDE: tl.constexpr, BEFORE: tl.constexpr,
    PROGRAMS: tl.constexpr, RED: tl.constexpr, GREEN: tl.constexpr, BLUE: tl.constexpr, SCALE: tl.constexpr,
    PACKED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Warp with `PROGRAMS` programs for each region. If packed, `SIDE` counts blocks of four consecutive pixels."""
    region = (tl.program_id(0) // PROGRAMS).to(tl.int64)
    place = tl.program_id(0) % PROGRAMS * BLOCK + tl.arange(0, BLOCK)
    if PACKED:
        block = place // 4
        x = (block % SIDE - BEFORE) * 2 + place % 2
        y = (block // SIDE - BEFORE) * 2 + place // 2 % 2
    else:
        x, y = place % SIDE, place // SIDE
    within = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    window = windows + region * 4
    left, left_share, right, right_share, covered_width, whole_width = _edges(
        x, tl.load(window), tl.load(window + 2), width, SIZE
    )
    top, top_share, bottom, bottom_share, covered_height, whole_height = _edges(
        y, tl.load(window + 1), tl.load(window + 3), height, SIZE
    )
    colour = tl.arange(0, 4)[None, :]
    line = (width + 1) * 4
    mask = within[:, None] & (colour < 4)
    at_left = integral + (top * line + left * 4)[:, None] + colour
    at_right = integral + (top * line + right * 4)[:, None] + colour
    to_bottom = ((bottom - top) * line)[:, None]
    up1 = tl.load(at_left, mask=mask, other=0)
    up2 = tl.load(at_left + 4, mask=mask, other=0)
    up3 = tl.load(at_right, mask=mask, other=0)
    up4 = tl.load(at_right + 4, mask=mask, other=0)
    upper1 = tl.load(at_left + line, mask=mask, other=0) - up1
    upper2 = tl.load(at_left + line + 4, mask=mask, other=0) - up2
    upper3 = tl.load(at_right + line, mask=mask, other=0) - up3
    upper4 = tl.load(at_right + line + 4, mask=mask, other=0) - up4
    low1 = tl.load(at_left + to_bottom, mask=mask, other=0)
    low2 = tl.load(at_left + to_bottom + 4, mask=mask, other=0)
    low3 = tl.load(at_right + to_bottom, mask=mask, other=0)
    low4 = tl.load(at_right + to_bottom + 4, mask=mask, other=0)
    lower1 = tl.load(at_left + to_bottom + line, mask=mask, other=0) - low1
    lower2 = tl.load(at_left + to_bottom + line + 4, mask=mask, other=0) - low2
    lower3 = tl.load(at_right + to_bottom + line, mask=mask, other=0) - low3
    lower4 = tl.load(at_right + to_bottom + line + 4, mask=mask, other=0) - low4
    shares = left_share[:, None], right_share[:, None]
    total = _across(low1 - up1, low2 - up2, low3 - up3, low4 - up4, shares[0], shares[1])
    total -= top_share[:, None] * _across(upper1, upper2, upper3, upper4, shares[0], shares[1])
    total += bottom_share[:, None] * _across(lower1, lower2, lower3, lower4, shares[0], shares[1])
    mean = tl.where(colour == 0, RED, tl.where(colour == 1, GREEN, tl.where(colour == 2, BLUE, 0.0)))
    centred = total - mean * (covered_width * covered_height)[:, None]
    value = tl.where(within[:, None], centred / (whole_width * whole_height)[:, None] * SCALE, 0.0)
    value = value.to(target.dtype.element_ty)
    if PACKED:
        goal = target + region * (SIDE * SIDE * 16) + place[:, None] * 4 + colour
        tl.store(goal, value, mask=(place < SIDE * SIDE * 4)[:, None] & (colour < 4))
    else:
        goal = target + region * (SIDE * SIDE * 3) + place[:, None] * 3 + colour
        tl.store(goal, value, mask=(place < SIDE * SIDE)[:, None] & (colour < 3))


def warp_inputs(parts: Sequence[ImageRegions], *, size: int, context: int, dtype: torch.dtype, packed: bool) -> Tensor:
    """Return the input of the networks for the regions of several images, in channels_last memory.

    Returns:
        [N, 3, S, S], or packed as by `classifier.layers.gpu.packed_input.pack`.

    Raises:
        ValueError: if the context is half of the size or more.
    """
    device = parts[0].pixels.device
    count = sum(len(part) for part in parts)
    shape = (count, CHANNELS, *[packed_side(size)] * 2) if packed else (count, 3, size, size)
    inputs = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
    boxes = torch.from_numpy(np.concatenate([part.windows for part in parts])).double()
    windows = context_boxes(boxes, size=size, context=context).to(device)
    start = 0
    for part in parts:
        rows = slice(start, start + len(part))
        if len(part):
            _warp_one(part.pixels, windows[rows], inputs[rows], size=size, packed=packed)
        start += len(part)
    return inputs


def _warp_one(pixels: Tensor, windows: Tensor, inputs: Tensor, *, size: int, packed: bool) -> None:
    """Warp the regions of one image into `inputs`."""
    height, width = pixels.shape[:2]
    side = packed_side(size) if packed else size
    programs = triton.cdiv(side * side * (4 if packed else 1), BLOCK)
    _warp[(len(windows) * programs,)](
        integral_image(pixels), windows, inputs, height, width, size, side, BLOCKS_BEFORE, programs, *MEAN_RGB, SCALE,
        packed, BLOCK,
    )  # fmt: skip


def integral_image(pixels: Tensor) -> Tensor:
    """Sum the pixels above and left of each pixel corner, modulo 2^32: [H, W, 3] -> int32 [H + 1, W + 1, 4]."""
    height, width = pixels.shape[:2]
    sums = torch.zeros(height + 1, width + 1, COLOURS, dtype=torch.int32, device=pixels.device)
    planes = pixels.permute(2, 0, 1).contiguous()
    sums[1:, 1:, :3] = planes.cumsum(2, dtype=torch.int32).cumsum(1, dtype=torch.int32).permute(1, 2, 0)
    return sums
