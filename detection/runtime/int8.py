"""Layers that compute in 8-bit integers on a CPU, without data to calibrate them.

Activations after a ReLU are stored as unsigned bytes with one scale for each layer, and weights as signed bytes with
one scale for each output channel. The range of a layer's activations follows from its batch normalisation, which knows
the mean and the standard deviation of each channel (Nagel et al., "Data-free quantization", arXiv 1906.04721, section
4.2.1).

`quantised` and `quantised_first` turn a convolution with batch normalisation into a layer of bytes.
`classifier.inception` builds whole networks of them.
"""

from functools import lru_cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from detection.runtime.batch_norm_folding import fold_into

DEVIATIONS = 5
"""Activations above the mean of their channel plus this many standard deviations are cut off (our choice)."""

LARGEST_ACTIVATION = 255

LARGEST_PAIR = 127
"""The largest sum of the weights of two neighbouring input channels, taken for each sign; rounding can add 1.
Processors without VNNI add the two products of such a pair in 16 bits. The largest number there is 32,767, just above
255 times 128, so nothing overflows on them either."""

SMALLEST = 1e-8
"""The scale of a layer whose output is always zero."""

LARGEST_BIAS = 2**30
"""The largest bias in units of the products of bytes, which are added up in 32 bits."""

SIGNIFICANT_BITS = 6
"""The number of significant bits of each scale of weights, which is rounded up by at most 1/32.

The integer sums that a convolution turns into bytes have at most 18 bits, with rare exceptions. The product of such a
sum and a scale of 6 bits fits into the 24 bits of a float32, so it is exact. Then PyTorch and ONNX Runtime, which
multiply and add in a different order, round the same number to the same byte."""

PACKED_BATCH = 16
"""The number of images for which weights are packed; any number gives the same layout."""


class Quantisable(Protocol):
    """A network that can be changed to compute in bytes."""

    can_quantise: bool

    def quantise(self) -> object:
        """Change the network in place to compute in bytes; it must be in evaluation mode and not be folded."""


def can_quantise(network: nn.Module) -> bool:
    """Return True if a network is `Quantisable`, with the arguments that it was built with."""
    return bool(getattr(network, "can_quantise", False))


@lru_cache
def runs_int8() -> bool:
    """Return True if PyTorch has convolutions of bytes on this processor, and a small one gives the right result."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (2, 16, 5, 6), dtype=torch.uint8, generator=generator)
    layer = nn.Conv2d(16, 8, 3, stride=2, padding=1).requires_grad_(requires_grad=False)
    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    assert layer.bias is not None
    layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
    try:
        quantised = QuantisedConvolution(layer, input_scale=1.0, input_zero=100, output_scale=None)
        output = quantised(inputs)
    except (AttributeError, RuntimeError):
        return False
    layer.weight.copy_(dequantise(quantised.weight_bytes, quantised.weight_scale))
    layer.bias.copy_(quantised.bias)
    # A processor whose sums overflow is wrong by more than 1.
    return torch.allclose(output, layer(inputs.float() - 100), rtol=1e-4, atol=0.1)


def quantise_weights(weights: Tensor, smallest: float | Tensor = SMALLEST) -> tuple[Tensor, Tensor]:
    """Return weights [C', C, kH, kW] as bytes of the same shape, and the scale [C'] of each output channel.

    The scales are at least `smallest`, a number or [C'], and have `SIGNIFICANT_BITS`.
    """
    pairs = nn.functional.pad(weights, (0, 0, 0, 0, 0, weights.shape[1] % 2)).unflatten(1, (-1, 2))
    first, second = pairs.unbind(dim=2)
    above = first.clamp_min(0) + second.clamp_min(0)
    below = first.clamp_max(0) + second.clamp_max(0)
    largest = torch.maximum(above, -below).amax(dim=(1, 2, 3))
    mantissa, exponent = torch.frexp((largest / LARGEST_PAIR).clamp_min(smallest))
    scales = torch.ldexp((mantissa * 2**SIGNIFICANT_BITS).ceil(), exponent - SIGNIFICANT_BITS)
    return (weights / scales.view(-1, 1, 1, 1)).round().to(torch.int8), scales


def dequantise(weights: Tensor, scales: Tensor) -> Tensor:
    """Return the weights in float32 that bytes [C', C, kH, kW] with scales [C'] stand for."""
    return weights * scales.view(-1, 1, 1, 1)


def activation_scale(layer: nn.Module) -> float:
    """Return the scale of the output of a layer that consists of a convolution, batch normalisation and a ReLU.

    Raises:
        ValueError: if the layer consists of something else.
    """
    kinds = [type(part) for part in layer.children()]
    if kinds != [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
        raise ValueError(f"expected a convolution, batch normalisation and ReLU, got {layer}")
    norm = cast(nn.BatchNorm2d, layer.get_submodule("1"))
    largest = (norm.bias + DEVIATIONS * norm.weight.abs()).max().item()
    return max(largest / LARGEST_ACTIVATION, SMALLEST)


class QuantisedConvolution(nn.Module):
    """A convolution of bytes: uint8 [B, C, H, W] -> uint8 [B, C', H', W'] after a ReLU, or float32 without one.

    The scales of the input and the output are multiplied into the weights and the bias. The computation itself then
    uses no scales but those of the weights, which have `SIGNIFICANT_BITS`.

    Attributes:
        ratio: the scale of the input divided by that of the output, by which the weights are multiplied.

    Args:
        convolution: a convolution in float32, without groups.
        input_scale: the number that a byte of the input is multiplied by.
        output_scale: the number that a byte of the output is multiplied by; None for output in float32.
        input_zero: the byte of the input that stands for zero.
    """

    def __init__(
        self, convolution: nn.Conv2d, *, input_scale: float, output_scale: float | None, input_zero: int = 0
    ) -> None:
        super().__init__()
        channels = len(convolution.weight)
        output_unit = 1.0 if output_scale is None else output_scale
        self.ratio = input_scale / output_unit
        bias = torch.zeros(channels) if convolution.bias is None else convolution.bias.detach() / output_unit
        smallest = (bias.abs() / LARGEST_BIAS).clamp_min(SMALLEST)
        self.weight_bytes, self.weight_scale = quantise_weights(convolution.weight.detach() * self.ratio, smallest)
        self.zero_points = torch.zeros(channels, dtype=torch.int64)
        # ONNX stores a bias as a whole number of these units. With the same bias here, both give the same results.
        self.bias = (bias / self.weight_scale).round() * self.weight_scale
        self.geometry = (
            list(convolution.stride),
            list(cast(tuple[int, int], convolution.padding)),
            list(convolution.dilation),
            convolution.groups,
        )
        self.input_zero, self.to_bytes = input_zero, output_scale is not None
        self.packed: tuple[torch.Size, Tensor] | None = None

    def pack(self, shape: torch.Size) -> Tensor:
        """Return the weights in the layout that oneDNN chooses for this processor and an input [B, C, H, W].

        The layout depends on height and width, but not on the number of images. Weights in another layout would give
        the same results, but oneDNN would rearrange them for each batch, by a slow function.
        """
        if self.packed is None or self.packed[0] != shape[2:]:
            scales = (self.weight_scale, 1.0, self.input_zero)
            batch = [PACKED_BATCH, *shape[1:]]
            weights = torch.ops.onednn.qconv_prepack(self.weight_bytes, *scales, *self.geometry, batch)
            self.packed = (shape[2:], weights)
            return cast(Tensor, weights)
        return self.packed[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"packed": None}  # packed weights cannot be copied

    def forward(self, features: Tensor) -> Tensor:
        return cast(
            Tensor,
            torch.ops.onednn.qconv2d_pointwise(
                features.contiguous(memory_format=torch.channels_last),
                1.0,  # the scale of the input
                self.input_zero,
                self.pack(features.shape),
                self.weight_scale,
                self.zero_points,
                self.bias,
                *self.geometry,
                1.0,  # the scale of the output
                0,  # the byte of the output that stands for zero
                torch.uint8 if self.to_bytes else torch.float32,
                "relu" if self.to_bytes else "none",
                [],
                "",
            ),
        )


def quantised(layer: nn.Module, *, input_scale: float, output_scale: float | None) -> nn.Sequential:
    """Return a convolution of bytes for a layer of a convolution and batch normalisation, maybe with a ReLU."""
    return nn.Sequential(QuantisedConvolution(folded(layer), input_scale=input_scale, output_scale=output_scale))


def folded(layer: nn.Module) -> nn.Conv2d:
    """Return the convolution of a layer after folding the batch normalisation into it, in place."""
    convolution, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], tuple(layer.children())[:2])
    fold_into(convolution, norm)
    return convolution


class QuantisedInput(nn.Module):
    """Quantises images: float32 [B, 3, H, W] -> uint8 bytes that stand for (byte - zero) * scale.

    Images of uint8 are returned as they are.

    Args:
        low: the smallest value in an image, below zero.
        high: the largest value in an image, above zero.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.scale = (high - low) / LARGEST_ACTIVATION
        self.zero = round(-low / self.scale)

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            return images
        # The conversion goes through int16, since PyTorch has no vectorised one from float32 to bytes.
        places = (images / self.scale).round_().add_(self.zero)
        return places.clamp_(0, LARGEST_ACTIVATION).to(torch.int16).to(torch.uint8)


def quantised_first(layer: nn.Module, *, low: float, high: float, output_scale: float) -> nn.Sequential:
    """Return a layer of bytes for the first layer of a network, which reads images with values in `low` to `high`."""
    quantise_input = QuantisedInput(low, high)
    scales = {"input_scale": quantise_input.scale, "output_scale": output_scale}
    return nn.Sequential(quantise_input, QuantisedConvolution(folded(layer), **scales, input_zero=quantise_input.zero))


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
    """The mean of each channel: uint8 [B, C, H, W] -> float32 [B, C]."""

    def __init__(self, *, input_scale: float) -> None:
        super().__init__()
        self.input_scale = input_scale

    def forward(self, features: Tensor) -> Tensor:
        # A sum of bytes is exact in float32, so PyTorch and ONNX Runtime compute the same mean.
        height, width = features.shape[2:]
        return features.sum(dim=(2, 3), dtype=torch.float32) * (self.input_scale / (height * width))
