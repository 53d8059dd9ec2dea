# ruff: noqa: N803  constants of a kernel are in capitals
"""Kernels for a GPU, in Triton, for what PyTorch does there in many passes over memory. All read channels_last."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from classifier.response_norm import ALPHA, BETA, OFFSET, SIZE

BLOCK = 1024
"""Elements of the output that a program computes."""


@triton.jit  # type: ignore[untyped-decorator]
def _response_norm(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    source, target, total, C: tl.constexpr, REACH: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    OFFSET: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    channel = (place % C).to(tl.int32)
    centre = tl.load(source + place, mask=inside, other=0).to(tl.float32)
    squares = centre * centre
    for shift in tl.static_range(1, REACH + 1):
        low = tl.load(source + place - shift, mask=inside & (channel >= shift), other=0).to(tl.float32)
        high = tl.load(source + place + shift, mask=inside & (channel + shift < C), other=0).to(tl.float32)
        squares += low * low + high * high
    scaled = centre * tl.exp2(-BETA * tl.log2(OFFSET + ALPHA * squares))
    tl.store(target + place, scaled.to(target.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _max_pool(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    source, target, total, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr,
    OUT_W: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    channel = (place % C).to(tl.int32)
    pixel = place // C
    column = (pixel % OUT_W).to(tl.int32) * STRIDE - PADDING
    row = (pixel // OUT_W % OUT_H).to(tl.int32) * STRIDE - PADDING
    image = source + pixel // (OUT_W * OUT_H) * (H * W * C) + channel
    most = tl.full([BLOCK], float("-inf"), tl.float32)
    for down in tl.static_range(KERNEL):
        for right in tl.static_range(KERNEL):
            y, x = row + down, column + right
            there = inside & (y >= 0) & (y < H) & (x >= 0) & (x < W)
            value = tl.load(image + (y * W + x) * C, mask=there, other=float("-inf"))
            most = tl.maximum(most, value.to(tl.float32))
    tl.store(target + place, most.to(target.dtype.element_ty), mask=inside)


def response_norm(features: Tensor) -> Tensor:
    """What `ResponseNorm` computes, in one pass: [B, C, H, W] -> the same."""
    features = features.contiguous(memory_format=torch.channels_last)
    output = torch.empty_like(features)
    total = features.numel()
    constants = {"C": features.shape[1], "REACH": SIZE // 2, "ALPHA": ALPHA, "BETA": BETA, "OFFSET": OFFSET}
    _response_norm[(triton.cdiv(total, BLOCK),)](features, output, total, **constants, BLOCK=BLOCK)
    return output


def max_pool(features: Tensor, *, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Tensor:
    """`max_pool2d` without the indices that PyTorch writes beside: [B, C, H, W] -> [B, C, H', W']."""
    features = features.contiguous(memory_format=torch.channels_last)
    count, channels, *size = features.shape
    out_height, out_width = (pooled_length(length, kernel, stride, padding, ceil_mode=ceil_mode) for length in size)
    output = torch.empty(
        (count, channels, out_height, out_width),
        dtype=features.dtype, device=features.device, memory_format=torch.channels_last,
    )  # fmt: skip
    total = output.numel()
    _max_pool[(triton.cdiv(total, BLOCK),)](
        features, output, total, channels, *size, out_height, out_width, kernel, stride, padding, BLOCK
    )
    return output


def pooled_length(length: int, kernel: int, stride: int, padding: int, *, ceil_mode: bool) -> int:
    """Outputs along an axis; with `ceil_mode` a last window that starts inside the input or its left padding counts."""
    steps = length + 2 * padding - kernel
    outputs = (-(-steps // stride) if ceil_mode else steps // stride) + 1
    return outputs - (ceil_mode and (outputs - 1) * stride >= length + padding)
