"""Layers of bytes in the form of ONNX, against the layers of PyTorch that they stand for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from detection.runtime.int8 import QuantisedConvolution, QuantisedInput, QuantisedMaxPool, runs_int8
from tools.export.byte_layers import OnnxConvolution, OnnxInputBytes, OnnxMaxPool
from tools.export.onnx_writer import quiet_exporter

needs_int8 = pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")


def write(layer: nn.Module, example: Tensor) -> Any:
    with quiet_exporter():
        return torch.onnx.export(layer, (example,), input_names=["images"], dynamo=True, verbose=False)


def compute(layer: nn.Module, example: Tensor) -> Tensor:
    """The output of a layer that was written as ONNX."""
    model = write(layer, example).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return torch.from_numpy(np.asarray(session.run(None, {"images": example.numpy()})[0]))


def random_bytes(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def convolution(channels: int, *, output_scale: float | None) -> QuantisedConvolution:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 6, 3, stride=2, padding=1)
    return QuantisedConvolution(layer, input_scale=0.02, input_zero=100, output_scale=output_scale)


def test_convolution_by_hand() -> None:
    """One pixel of 3 channels: (bytes - 10) * 0.5 = (1, 2, -3), weights (1, 0.5, 1), bias 0.25: -0.75, or with 4.75 4.

    Bytes of the output are multiplied by 0.5, so -0.75 becomes 0, and 4.25 becomes 8, since 8.5 is rounded to even.
    """
    layer = nn.Conv2d(3, 2, 1).requires_grad_(requires_grad=False)
    layer.weight.copy_(torch.tensor([[1.0, 0.5, 1.0], [1.0, 0.5, -1.0]]).view(2, 3, 1, 1))
    assert layer.bias is not None
    layer.bias.copy_(torch.tensor([0.25, -0.75]))
    quantised = QuantisedConvolution(layer, input_scale=0.5, input_zero=10, output_scale=0.5)
    quantised.bias = layer.bias / 0.5  # in bytes of the output
    quantised.weight_bytes, quantised.weight_scale = layer.weight.mul(2).to(torch.int8), torch.tensor([0.5, 0.5])
    pixel = torch.tensor([12, 14, 4], dtype=torch.uint8).view(1, 3, 1, 1)
    assert compute(OnnxConvolution(quantised), pixel).flatten().tolist() == [0, 8]


@needs_int8
@pytest.mark.parametrize("channels", [3, 8])
def test_convolution_gives_the_same_bytes(channels: int) -> None:
    layer, images = convolution(channels, output_scale=0.01), random_bytes(2, channels, 9, 8)
    expected = layer(images)
    assert torch.equal(compute(OnnxConvolution(layer), images), expected)
    assert 0 < (expected > 0).float().mean() < 1


@needs_int8
def test_bias_beside_weights_of_zero() -> None:
    """Units of the smallest scale are too many for 32 bits."""
    layer = nn.Conv2d(2, 1, 1).requires_grad_(requires_grad=False)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, 0.5)
    quantised, images = QuantisedConvolution(layer, input_scale=0.02, output_scale=0.01), random_bytes(1, 2, 2, 2)
    assert compute(OnnxConvolution(quantised), images).unique().tolist() == [50]
    assert quantised(images).unique().tolist() == [50]


@needs_int8
def test_convolution_without_relu_gives_the_same_numbers() -> None:
    layer, images = convolution(8, output_scale=None), random_bytes(2, 8, 9, 8)
    torch.testing.assert_close(compute(OnnxConvolution(layer), images), layer(images), atol=1e-3, rtol=0)


def test_only_an_odd_number_of_channels_gets_one_more() -> None:
    kinds = [
        Counter(node.op_type for node in write(OnnxConvolution(convolution(channels, output_scale=0.01)),
                                               random_bytes(1, channels, 4, 4)).model_proto.graph.node)
        for channels in (3, 8)
    ]  # fmt: skip
    assert [kind["Pad"] for kind in kinds] == [1, 0]
    assert all(kind["DequantizeLinear"] == 3 and kind["QuantizeLinear"] == 1 for kind in kinds)


def test_input() -> None:
    layer = QuantisedInput(-2.0, 2.5)
    images = torch.randn((2, 3, 5, 5), generator=torch.Generator().manual_seed(0)) * 3
    assert torch.equal(compute(OnnxInputBytes(layer), images), layer(images))
    assert torch.equal(OnnxInputBytes(layer)(random_bytes(1, 3, 2, 2)), random_bytes(1, 3, 2, 2))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 1, 1)])
def test_max_pool(pool: nn.MaxPool2d) -> None:
    images = random_bytes(2, 5, 8, 7)
    expected = pool(images.float()).to(torch.uint8)
    assert torch.equal(compute(OnnxMaxPool(QuantisedMaxPool(pool)), images), expected)
