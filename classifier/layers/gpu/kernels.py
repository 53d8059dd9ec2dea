# ruff: noqa: N803  constants of a kernel are in capitals
"""Response normalisation and max pooling as GPU kernels, in Triton, with one pass over memory where PyTorch needs many.

All tensors are channels_last. A thread reads and writes a vector of neighbouring channels at once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from classifier.layers.response_norm import ALPHA, BETA, OFFSET

VECTOR = 8
"""Channels in a vector: 16 bytes of bfloat16, the most that one instruction moves."""

BLOCK = 256
"""Number of output vectors that one program computes; in pooling, each for two rows."""


@triton.jit  # type: ignore[untyped-decorator]
def _scaled(centre, squares, ALPHA: tl.constexpr, BETA: tl.constexpr, OFFSET: tl.constexpr):  # type: ignore[no-untyped-def]
    return centre * tl.exp2(-BETA * tl.log2(OFFSET + ALPHA * squares))


@triton.jit  # type: ignore[untyped-decorator]
def _response_norm(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    source, target, total, C: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr, OFFSET: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    vector = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = vector < total
    first = (vector % (C // 8)).to(tl.int32) * 8
    places = vector[:, None] * 8 + tl.arange(0, 8)[None, :]
    values = tl.load(source + places, mask=inside[:, None], other=0).to(tl.float32)
    # Split the vector into its eight channels, so that each has its neighbours, two on each side, without another read.
    even, odd = tl.split(tl.reshape(values, [BLOCK, 4, 2]))
    even_low, even_high = tl.split(tl.reshape(even, [BLOCK, 2, 2]))
    odd_low, odd_high = tl.split(tl.reshape(odd, [BLOCK, 2, 2]))
    x0, x4 = tl.split(even_low)
    x2, x6 = tl.split(even_high)
    x1, x5 = tl.split(odd_low)
    x3, x7 = tl.split(odd_high)
    start = source + vector * 8
    before, after = inside & (first > 0), inside & (first + 8 < C)
    a = tl.load(start - 2, mask=before, other=0).to(tl.float32)
    b = tl.load(start - 1, mask=before, other=0).to(tl.float32)
    y = tl.load(start + 8, mask=after, other=0).to(tl.float32)
    z = tl.load(start + 9, mask=after, other=0).to(tl.float32)
    s12, s34, s56 = x1 * x1 + x2 * x2, x3 * x3 + x4 * x4, x5 * x5 + x6 * x6
    s01, s67 = b * b + x0 * x0, x7 * x7 + y * y
    r0 = _scaled(x0, a * a + s01 + s12, ALPHA, BETA, OFFSET)
    r1 = _scaled(x1, s01 + s12 + x3 * x3, ALPHA, BETA, OFFSET)
    r2 = _scaled(x2, x0 * x0 + s12 + s34, ALPHA, BETA, OFFSET)
    r3 = _scaled(x3, s12 + s34 + x5 * x5, ALPHA, BETA, OFFSET)
    r4 = _scaled(x4, x2 * x2 + s34 + s56, ALPHA, BETA, OFFSET)
    r5 = _scaled(x5, s34 + s56 + x7 * x7, ALPHA, BETA, OFFSET)
    r6 = _scaled(x6, x4 * x4 + s56 + s67, ALPHA, BETA, OFFSET)
    r7 = _scaled(x7, s56 + s67 + z * z, ALPHA, BETA, OFFSET)
    even = tl.reshape(tl.join(tl.join(r0, r4), tl.join(r2, r6)), [BLOCK, 4])
    odd = tl.reshape(tl.join(tl.join(r1, r5), tl.join(r3, r7)), [BLOCK, 4])
    scaled = tl.reshape(tl.join(even, odd), [BLOCK, 8])
    tl.store(target + places, scaled.to(target.dtype.element_ty), mask=inside[:, None])


@triton.jit  # type: ignore[untyped-decorator]
def _max_pool(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    source, target, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr, OUT_W: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, PROGRAMS: tl.constexpr, VECTOR: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Pool with `PROGRAMS` programs for each image; a vector covers two output rows, which share what they read."""
    image = (tl.program_id(0) // PROGRAMS).to(tl.int64)
    vector = tl.program_id(0) % PROGRAMS * BLOCK + tl.arange(0, BLOCK)
    channel = (vector % (C // VECTOR) * VECTOR)[:, None] + tl.arange(0, VECTOR)[None, :]
    pixel = vector // (C // VECTOR)
    out_column, out_row = pixel % OUT_W, pixel // OUT_W * 2
    inside = out_row < OUT_H
    column, row = out_column * STRIDE - PADDING, out_row * STRIDE - PADDING
    start = source + image * (H * W * C) + channel
    upper = tl.full([BLOCK, VECTOR], float("-inf"), tl.float32)
    lower = tl.full([BLOCK, VECTOR], float("-inf"), tl.float32)
    for down in tl.static_range(KERNEL + STRIDE):
        most = tl.full([BLOCK, VECTOR], float("-inf"), tl.float32)
        for right in tl.static_range(KERNEL):
            y, x = row + down, column + right
            there = inside & (y >= 0) & (y < H) & (x >= 0) & (x < W)
            value = tl.load(start + ((y * W + x) * C)[:, None], mask=there[:, None], other=float("-inf"))
            most = tl.maximum(most, value.to(tl.float32))
        if down < KERNEL:
            upper = tl.maximum(upper, most)
        if down >= STRIDE:
            lower = tl.maximum(lower, most)
    end = target + image * (OUT_H * OUT_W * C) + ((out_row * OUT_W + out_column) * C)[:, None] + channel
    tl.store(end, upper.to(target.dtype.element_ty), mask=inside[:, None])
    tl.store(end + OUT_W * C, lower.to(target.dtype.element_ty), mask=(out_row + 1 < OUT_H)[:, None])


def response_norm(features: Tensor) -> Tensor:
    """Compute `ResponseNorm` of features [B, C, H, W] in one pass; C must be a multiple of `VECTOR`."""
    features = features.contiguous(memory_format=torch.channels_last)
    output = torch.empty_like(features)
    total = features.numel() // VECTOR
    _response_norm[(triton.cdiv(total, BLOCK),)](features, output, total, features.shape[1], ALPHA, BETA, OFFSET, BLOCK)
    return output


def max_pool(features: Tensor, *, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Tensor:
    """Compute `max_pool2d` without the indices that PyTorch also writes: [B, C, H, W] -> [B, C, H', W']."""
    features = features.contiguous(memory_format=torch.channels_last)
    count, channels, *size = features.shape
    out_height, out_width = (pooled_length(length, kernel, stride, padding, ceil_mode=ceil_mode) for length in size)
    output = torch.empty(
        (count, channels, out_height, out_width),
        dtype=features.dtype, device=features.device, memory_format=torch.channels_last,
    )  # fmt: skip
    vector = 1 if channels % VECTOR else VECTOR
    programs = triton.cdiv(triton.cdiv(out_height, 2) * out_width * channels // vector, BLOCK)
    _max_pool[(count * programs,)](
        features, output, channels, *size, out_height, out_width, kernel, stride, padding, programs, vector, BLOCK
    )
    return output


def pooled_length(length: int, kernel: int, stride: int, padding: int, *, ceil_mode: bool) -> int:
    """Return the number of outputs along an axis.

    `ceil_mode` also counts a last window that begins within the input or the left padding.
    """
    steps = length + 2 * padding - kernel
    outputs = (-(-steps // stride) if ceil_mode else steps // stride) + 1
    return outputs - (ceil_mode and (outputs - 1) * stride >= length + padding)
