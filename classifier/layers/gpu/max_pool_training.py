# ruff: noqa: N803  constants of a kernel are in capitals
"""Max pooling with a gradient, in Triton, in a few passes over memory.

PyTorch's forward pass stores the position of each maximum in eight bytes, which its backward pass reads; one byte is
enough here. All tensors are channels_last.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from classifier.layers.gpu.kernels import BLOCK, VECTOR, pooled_length


@triton.jit
def _is_nan(value):  # type: ignore[no-untyped-def]
    return value != value  # noqa: PLR0124


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    source, target, places, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr, OUT_W: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, PROGRAMS: tl.constexpr, VECTOR: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Pool with `PROGRAMS` programs for each image; a vector holds a group of channels of one output."""
    image = (tl.program_id(0) // PROGRAMS).to(tl.int64)
    vector = tl.program_id(0) % PROGRAMS * BLOCK + tl.arange(0, BLOCK)
    channel = (vector % (C // VECTOR) * VECTOR)[:, None] + tl.arange(0, VECTOR)[None, :]
    pixel = vector // (C // VECTOR)
    inside = pixel < OUT_H * OUT_W
    row, column = pixel // OUT_W * STRIDE - PADDING, pixel % OUT_W * STRIDE - PADDING
    start = source + image * (H * W * C) + channel
    most = tl.full([BLOCK, VECTOR], float("-inf"), tl.float32)
    place = tl.full([BLOCK, VECTOR], -1, tl.int32)
    for down in tl.static_range(KERNEL):
        for right in tl.static_range(KERNEL):
            y, x = row + down, column + right
            there = (inside & (y >= 0) & (y < H) & (x >= 0) & (x < W))[:, None]
            value = tl.load(start + ((y * W + x) * C)[:, None], mask=there, other=float("-inf")).to(tl.float32)
            larger = there & ((value > most) | _is_nan(value) | (place < 0))
            most = tl.where(larger, value, most)
            place = tl.where(larger, down * KERNEL + right, place)
    end = image * (OUT_H * OUT_W * C) + (pixel * C)[:, None] + channel
    tl.store(target + end, most.to(target.dtype.element_ty), mask=inside[:, None])
    tl.store(places + end, place.to(tl.int8), mask=inside[:, None])


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    gradients, places, target, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr,
    OUT_W: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, PROGRAMS: tl.constexpr,
    VECTOR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up, for a group of channels of one input, the gradients of the windows whose maximum this input was."""
    image = (tl.program_id(0) // PROGRAMS).to(tl.int64)
    vector = tl.program_id(0) % PROGRAMS * BLOCK + tl.arange(0, BLOCK)
    channel = (vector % (C // VECTOR) * VECTOR)[:, None] + tl.arange(0, VECTOR)[None, :]
    pixel = vector // (C // VECTOR)
    inside = pixel < H * W
    row, column = pixel // W + PADDING, pixel % W + PADDING
    start = image * (OUT_H * OUT_W * C) + channel
    total = tl.zeros([BLOCK, VECTOR], tl.float32)
    for down in tl.static_range(KERNEL):
        for right in tl.static_range(KERNEL):
            y, x = (row - down) // STRIDE, (column - right) // STRIDE
            there = inside & (row >= down) & (column >= right) & (y < OUT_H) & (x < OUT_W)
            there = (there & (y * STRIDE == row - down) & (x * STRIDE == column - right))[:, None]
            place = start + ((y * OUT_W + x) * C)[:, None]
            chosen = there & (tl.load(places + place, mask=there, other=-1) == down * KERNEL + right)
            total += tl.load(gradients + place, mask=chosen, other=0).to(tl.float32)
    end = target + image * (H * W * C) + (pixel * C)[:, None] + channel
    tl.store(end, total.to(target.dtype.element_ty), mask=inside[:, None])


class _MaxPoolWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, window: tuple[int, int, int], ceil_mode: bool) -> Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        count, channels, *size = features.shape
        pooled = [pooled_length(length, *window, ceil_mode=ceil_mode) for length in size]
        output = _empty((count, channels, *pooled), features, features.dtype)
        places = _empty((count, channels, *pooled), features, torch.int8)
        ctx.save_for_backward(places)
        ctx.layout = (channels, *size, *pooled, *window)
        _launch(_forward, (features, output, places), ctx.layout, pixels=pooled[0] * pooled[1])
        return output

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        channels, height, width, *_ = ctx.layout
        gradients = gradients.contiguous(memory_format=torch.channels_last)
        output = _empty((len(gradients), channels, height, width), gradients, gradients.dtype)
        _launch(_backward, (gradients, places, output), ctx.layout, pixels=height * width)
        return output, None, None


def max_pool_with_gradient(features: Tensor, *, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Tensor:
    """Compute `max_pool2d`. The first of equal maxima gets the gradient: [B, C, H, W] -> [B, C, H', W']."""
    output: Tensor = _MaxPoolWithGradient.apply(features, (kernel, stride, padding), ceil_mode)
    return output


def _launch(kernel: Any, tensors: tuple[Tensor, ...], layout: tuple[int, ...], *, pixels: int) -> None:
    """Run a kernel that computes `pixels` outputs for each image of the last tensor."""
    channels = layout[0]
    vector = 1 if channels % VECTOR else VECTOR
    programs = triton.cdiv(pixels * channels // vector, BLOCK)
    kernel[(len(tensors[0]) * programs,)](*tensors, *layout, programs, vector, BLOCK)


def _empty(shape: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)
