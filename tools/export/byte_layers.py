"""The layers of `detection.runtime.int8` in a form that can be written as ONNX.

A convolution of bytes becomes a convolution in float32 between `DequantizeLinear` and `QuantizeLinear`, with the same
weights, scales and zero points (the form is called QDQ). Programs that read ONNX join these operators to a convolution
of bytes again.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from detection.runtime.int8 import QuantisedConvolution, QuantisedInput, QuantisedMaxPool


def replace_byte_layers(network: nn.Module) -> None:
    """Replace the layers that read or write bytes, in place, by those that can be written as ONNX."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, QuantisedConvolution):
            setattr(network, name, OnnxConvolution(layer))
        elif isinstance(layer, QuantisedInput):
            setattr(network, name, OnnxInputBytes(layer))
        elif isinstance(layer, QuantisedMaxPool):
            setattr(network, name, OnnxMaxPool(layer))
        else:
            replace_byte_layers(layer)


class Bytes(nn.Module):
    """The scale and the zero point of a tensor of whole numbers, between which and float32 it converts.

    Args:
        scale: one number, or one for each output channel [C'].
        zero: the whole number that stands for zero, in the type of the tensor.
    """

    scale: Tensor
    zero: Tensor

    def __init__(self, scale: float | Tensor, zero: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("zero", zero.expand(self.scale.shape).contiguous())

    def read(self, values: Tensor) -> Tensor:
        """Return the float32 numbers that whole numbers stand for."""
        return self._convert("DequantizeLinear", values, torch.float32)

    def write(self, numbers: Tensor) -> Tensor:
        """Return the nearest whole numbers for float32 numbers; those out of range become the smallest or largest."""
        return self._convert("QuantizeLinear", numbers, self.zero.dtype)

    def _convert(self, operator: str, values: Tensor, number_type: torch.dtype) -> Tensor:
        axis: dict[str, Any] = {"axis": 0} if self.scale.ndim else {}
        return torch.onnx.ops.symbolic(
            operator, (values, self.scale, self.zero), attrs=axis, dtype=number_type, shape=values.shape
        )


class OnnxConvolution(nn.Module):
    """A `QuantisedConvolution`: uint8 [B, C, H, W] -> uint8 or float32 [B, C', H', W'].

    The bias is stored as int32 in units of the products of bytes, as the programs that join the operators expect it.
    That of a `QuantisedConvolution` is a multiple of these units.

    An odd number of input channels gets one more, which stands for zero. Otherwise the last channel at one position and
    the first at the next one would be added in 16 bits on processors without VNNI, and such a pair may be larger than
    `detection.runtime.int8.LARGEST_PAIR`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: QuantisedConvolution) -> None:
        super().__init__()
        self.ratio = layer.ratio
        self.added = layer.weight_bytes.shape[1] % 2
        self.input_zero = layer.input_zero
        self.register_buffer("weight", functional.pad(layer.weight_bytes, (0, 0, 0, 0, 0, self.added)).contiguous())
        self.register_buffer("bias", (layer.bias / layer.weight_scale).round().to(torch.int32))
        self.input_bytes = Bytes(1.0, torch.tensor(layer.input_zero, dtype=torch.uint8))
        self.weight_bytes = Bytes(layer.weight_scale, torch.tensor(0, dtype=torch.int8))
        self.bias_bytes = Bytes(layer.weight_scale, torch.tensor(0, dtype=torch.int32))
        self.output_bytes: Bytes | None = None
        if layer.to_bytes:
            self.output_bytes = Bytes(1.0, torch.tensor(0, dtype=torch.uint8))
        self.geometry = layer.geometry

    def forward(self, features: Tensor) -> Tensor:
        if self.added:
            features = functional.pad(features, (0, 0, 0, 0, 0, self.added), value=self.input_zero)
        weight, bias = self.weight_bytes.read(self.weight), self.bias_bytes.read(self.bias)
        outputs = functional.conv2d(self.input_bytes.read(features), weight, bias, *self.geometry)
        # There is no ReLU, because numbers below zero become the byte 0 anyway.
        return outputs if self.output_bytes is None else self.output_bytes.write(outputs)


class OnnxInputBytes(nn.Module):
    """A `QuantisedInput`: float32 [B, 3, H, W] -> uint8. Images of uint8 are returned as they are."""

    def __init__(self, layer: QuantisedInput) -> None:
        super().__init__()
        self.bytes = Bytes(layer.scale, torch.tensor(layer.zero, dtype=torch.uint8))

    def forward(self, images: Tensor) -> Tensor:
        return images if images.dtype == torch.uint8 else self.bytes.write(images)


class OnnxMaxPool(nn.Module):
    """A `QuantisedMaxPool`: uint8 [B, C, H, W] -> uint8 [B, C, H', W']."""

    def __init__(self, layer: QuantisedMaxPool) -> None:
        super().__init__()
        self.geometry: tuple[Any, ...] = layer.geometry

    def forward(self, features: Tensor) -> Tensor:
        kernel, stride, padding, dilation, ceil_mode = self.geometry
        return functional.max_pool2d(features, kernel, stride, padding, dilation, ceil_mode)
