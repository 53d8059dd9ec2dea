"""Networks that compute in 8-bit integers on a CPU, with no data to calibrate them on.

Activations after a ReLU are stored as unsigned bytes, of one scale a layer; weights as signed bytes, of one scale an
output channel. What a layer can put out follows from its batch normalisation, which says the mean and deviation of each
channel (as Nagel et al., "Data-free quantization", arXiv 1906.04721, section 4.2.1, have it).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from detection.runtime.batch_norm_folding import fold_into

DEVIATIONS = 5
"""Above its mean, up to which a channel's activations are told apart; larger ones are cut off (our choice)."""

LARGEST_ACTIVATION = 255

LARGEST_PAIR = 127
"""Of the weights of two neighbouring channels of the input, added up by sign; once rounded they are one more at most.
Processors without VNNI add up the products of such a pair in 16 bits, which end at 32,767, just above 255 times 128: on
them too, nothing overflows."""

SMALLEST = 1e-8
"""Scale of a layer that puts out zeros only."""


class Quantisable(Protocol):
    """What a network can say and do that is able to compute in bytes."""

    can_quantise: bool

    def quantise(self) -> object:
        """Compute in bytes from now on, in place; needs evaluation mode and batch normalisation that is not folded."""
        ...


def can_quantise(network: nn.Module) -> bool:
    """Whether a network may be taken for a `Quantisable` and be quantised."""
    return bool(getattr(network, "can_quantise", False))


@lru_cache
def runs_int8() -> bool:
    """Whether convolutions of bytes are there and right, which is tried on a small one."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (2, 16, 5, 6), dtype=torch.uint8, generator=generator)
    layer = nn.Conv2d(16, 8, 3, stride=2, padding=1).requires_grad_(requires_grad=False)
    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    layer.weight.copy_(dequantise(*quantise_weights(layer.weight)))
    try:
        found = QuantisedConvolution(layer, input_scale=1.0, input_zero=100, output_scale=None)(inputs)
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(found, layer(inputs.float() - 100), rtol=1e-4, atol=1e-2)


def quantise_weights(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [C', C, kH, kW] as bytes of the same shape, and the scale [C'] of each output channel."""
    pairs = nn.functional.pad(weights, (0, 0, 0, 0, 0, weights.shape[1] % 2)).unflatten(1, (-1, 2))
    first, second = pairs.unbind(dim=2)
    above = first.clamp_min(0) + second.clamp_min(0)
    below = first.clamp_max(0) + second.clamp_max(0)
    largest = torch.maximum(above, -below).amax(dim=(1, 2, 3))
    scales = (largest / LARGEST_PAIR).clamp_min(SMALLEST)
    return (weights / scales.view(-1, 1, 1, 1)).round().to(torch.int8), scales


def dequantise(weights: Tensor, scales: Tensor) -> Tensor:
    """What bytes [C', C, kH, kW] of the scales [C'] stand for."""
    return weights * scales.view(-1, 1, 1, 1)


def activation_scale(layer: nn.Module) -> float:
    """The scale of what a convolution, its batch normalisation and a ReLU put out.

    Raises:
        ValueError: if the layer is another.
    """
    kinds = [type(part) for part in layer.children()]
    if kinds != [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
        raise ValueError(f"expected a convolution, batch normalisation and ReLU, got {layer}")
    norm = cast(nn.BatchNorm2d, layer.get_submodule("1"))
    largest = (norm.bias + DEVIATIONS * norm.weight.abs()).max().item()
    return max(largest / LARGEST_ACTIVATION, SMALLEST)


class QuantisedConvolution(nn.Module):
    """A convolution of bytes: uint8 [B, C, H, W] -> uint8 [B, C', H', W'] after a ReLU, or float32 without one.

    Args:
        convolution: in float32, without groups.
        input_scale: what the bytes that it reads are to be multiplied by.
        output_scale: the same of those that it writes; None for float32.
        input_zero: the byte that stands for zero in what it reads.
    """

    def __init__(
        self, convolution: nn.Conv2d, *, input_scale: float, output_scale: float | None, input_zero: int = 0
    ) -> None:
        super().__init__()
        weights, self.weight_scale = quantise_weights(convolution.weight.detach())
        self.zero_points = torch.zeros(len(weights), dtype=torch.int64)
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        self.geometry = (
            list(convolution.stride),
            list(cast(tuple[int, int], convolution.padding)),
            list(convolution.dilation),
            convolution.groups,
        )
        self.input_scale, self.input_zero = input_scale, input_zero
        self.output_scale = output_scale
        self.weight = torch.ops.onednn.qconv_prepack(
            weights, self.weight_scale, input_scale, input_zero, *self.geometry
        )

    def forward(self, features: Tensor) -> Tensor:
        to_bytes = self.output_scale is not None
        return cast(
            Tensor,
            torch.ops.onednn.qconv2d_pointwise(
                features.contiguous(memory_format=torch.channels_last),
                self.input_scale,
                self.input_zero,
                self.weight,
                self.weight_scale,
                self.zero_points,
                self.bias,
                *self.geometry,
                self.output_scale or 1.0,
                0,  # the byte that stands for zero in what it writes
                torch.uint8 if to_bytes else torch.float32,
                "relu" if to_bytes else "none",
                [],
                "",
            ),
        )


def quantised(layer: nn.Module, *, input_scale: float, output_scale: float | None) -> nn.Sequential:
    """A convolution, its batch normalisation and maybe a ReLU, as one of bytes; see `QuantisedConvolution`."""
    return nn.Sequential(QuantisedConvolution(folded(layer), input_scale=input_scale, output_scale=output_scale))


def folded(layer: nn.Module) -> nn.Conv2d:
    """The convolution of a layer, into which the batch normalisation after it is folded, in place."""
    convolution, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], tuple(layer.children())[:2])
    fold_into(convolution, norm)
    return convolution


class QuantisedInput(nn.Module):
    """Images as bytes: float32 [B, 3, H, W] -> uint8, from which `zero` is to be subtracted before `scale` multiplies.

    Images that are such bytes already pass through.

    Args:
        low: the least that an image may hold, below zero.
        high: the most, above zero.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.scale = (high - low) / LARGEST_ACTIVATION
        self.zero = round(-low / self.scale)

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            return images
        # By way of int16, since PyTorch has no vectorised conversion from float32 to bytes.
        places = (images / self.scale).add_(self.zero).round_()
        return places.clamp_(0, LARGEST_ACTIVATION).to(torch.int16).to(torch.uint8)


def quantised_first(layer: nn.Module, *, low: float, high: float, output_scale: float) -> nn.Sequential:
    """A convolution of images within `low` and `high`, its batch normalisation and a ReLU, as one of bytes."""
    read = QuantisedInput(low, high)
    scales = {"input_scale": read.scale, "output_scale": output_scale}
    return nn.Sequential(read, QuantisedConvolution(folded(layer), **scales, input_zero=read.zero))


class QuantisedMaxPool(nn.Module):
    """`nn.MaxPool2d` with square windows on bytes: uint8 [B, C, H, W] -> uint8 [B, C, H', W'].

    PyTorch reads the channels in vectors, and those that do not fill a vector one by one, which takes four times as
    long. So empty channels are appended until the last vector is full.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        pool = cast(nn.MaxPool2d, pool)
        numbers = (pool.kernel_size, pool.stride, pool.padding, 1)
        self.geometry = (*([cast(int, number)] * 2 for number in numbers), pool.ceil_mode)

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        if missing := -channels % vector_length():
            features = nn.functional.pad(features, (0, 0, 0, 0, 0, missing))
        features = features.contiguous(memory_format=torch.channels_last)
        pooled: Tensor = torch.ops.quantized.max_pool2d(features, *self.geometry)
        return pooled[:, :channels].contiguous(memory_format=torch.channels_last)


@lru_cache
def vector_length() -> int:
    """Return the number of bytes in a vector of the processor, as PyTorch uses it."""
    return 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32


class QuantisedMean(nn.Module):
    """The mean over all places: uint8 [B, C, H, W] -> float32 [B, C]."""

    def __init__(self, *, input_scale: float) -> None:
        super().__init__()
        self.input_scale = input_scale

    def forward(self, features: Tensor) -> Tensor:
        return features.float().mean(dim=(2, 3)) * self.input_scale
