"""Layers that compute in bytes give nearly the results of the same layers in float32."""

from __future__ import annotations

import itertools
import re
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from detection.errors import InputError
from detection.runtime import device
from detection.runtime import int8 as quantisation
from detection.runtime.device import find_precision, number_type
from detection.runtime.int8 import (
    LARGEST_PAIR,
    QuantisedConvolution,
    QuantisedInput,
    QuantisedMaxPool,
    QuantisedMean,
    activation_scale,
    dequantise,
    quantise_weights,
    quantised,
    quantised_first,
    runs_int8,
    vector_length,
)
from detection.runtime.weights_files.engine import Precision
from tests.detection.conftest import run_python

CPU, GPU = torch.device("cpu"), torch.device("cuda")

needs_int8 = pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")


def random_bytes(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return drawn.contiguous(memory_format=torch.channels_last)


def layer(in_channels: int = 8, out_channels: int = 6, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps=1e-3)
    for values in (norm.weight, norm.bias, norm.running_mean):
        assert values is not None
        nn.init.normal_(values)
    return nn.Sequential(convolution, norm, nn.ReLU(inplace=True)).eval().requires_grad_(requires_grad=False)


def test_check_of_the_processor_does_not_depend_on_random_numbers() -> None:
    answers = set()
    for seed in range(20):
        torch.manual_seed(seed)
        answers.add(runs_int8.__wrapped__())
    assert len(answers) == 1


def test_weights_by_hand() -> None:
    # By sign, the pair (3, 1) adds up to 4, and (-2, 5) to 5 and -2: 5 / 127 is 40.3 / 1024, and the scale 41 / 1024.
    weights, scales = quantise_weights(torch.tensor([3.0, 1.0, -2.0, 5.0]).view(1, 4, 1, 1))
    assert weights.flatten().tolist() == [75, 25, -50, 125]
    assert weights.dtype == torch.int8
    assert scales.tolist() == [41 / 1024]
    # A last channel without a neighbour, and an output that is always zero.
    weights, scales = quantise_weights(torch.tensor([[2.0, 1.0, -4.0], [0, 0, 0]]).view(2, 3, 1, 1))
    assert weights.flatten(1).tolist() == [[62, 31, -124], [0, 0, 0]]
    assert scales[0].item() == 33 / 1024  # 4 / 127 is 32.3 / 1024


@pytest.mark.parametrize("channels", [1, 7, 32])
def test_weights_are_near_and_pairs_stay_small(channels: int) -> None:
    weights = torch.randn(16, channels, 3, 5, generator=torch.Generator().manual_seed(channels))
    rounded, scales = quantise_weights(weights)
    assert ((dequantise(rounded, scales) - weights).abs() <= scales.view(-1, 1, 1, 1) * 0.5001).all()
    for first in range(0, channels - 1, 2):
        pair = rounded[:, first : first + 2].int()
        for sign in (1, -1):
            assert (pair * sign).clamp_min(0).sum(dim=1).max() <= LARGEST_PAIR + 1
    assert (torch.frexp(scales)[0] * 64 % 1 == 0).all()


def exact_output(layer: QuantisedConvolution, inputs: Tensor) -> Tensor:
    weights = dequantise(layer.weight_bytes, layer.weight_scale).double()
    return nn.functional.conv2d(inputs.double(), weights, layer.bias.double(), *layer.geometry)


@needs_int8
@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("channels", [3, 8, 48])
def test_convolution_is_that_of_the_rounded_weights(kernel_size: int, stride: int, channels: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 24, kernel_size, stride, kernel_size // 2).requires_grad_(requires_grad=False)
    inputs = random_bytes(2, channels, 7, 9)
    layer = QuantisedConvolution(convolution, input_scale=0.02, output_scale=None)
    floats = layer(inputs)
    assert floats.dtype == torch.float32
    torch.testing.assert_close(floats.double(), exact_output(layer, inputs), rtol=1e-6, atol=1e-6)
    assert (floats - convolution(inputs.float() * 0.02)).abs().mean() < 0.02
    to_bytes = QuantisedConvolution(convolution, input_scale=0.02, output_scale=floats.max().item() / 200)
    found = to_bytes(inputs)
    assert found.dtype == torch.uint8
    assert torch.equal(found.double(), exact_output(to_bytes, inputs).round().clamp(0, 255))  # rounded only once
    assert (found == 0).any()  # the ReLU


def test_bias_by_hand() -> None:
    """The weight 1 with inputs of 0.5 has the scale 1 / 254 = 32.3 / 8192, so the bias is in multiples of 33 / 8192.

    Beside a bias of 16, weights of zero get the scale with which the bias is 2^30 units, as many as 32 bits can hold.
    """
    convolution = nn.Conv2d(2, 3, 1).requires_grad_(requires_grad=False)
    convolution.weight.copy_(torch.tensor([[1.0, 0], [0, -1.0], [0, 0]]).view(3, 2, 1, 1))
    cast(Tensor, convolution.bias).copy_(torch.tensor([2.4 * 33 / 8192, -2.6 * 33 / 8192, 16.0]))
    layer = QuantisedConvolution(convolution, input_scale=0.5, output_scale=None)
    assert layer.bias.tolist() == [2 * 33 / 8192, -3 * 33 / 8192, 16.0]
    assert layer.weight_scale.tolist() == [33 / 8192, 33 / 8192, 2.0**-26]


REARRANGED = """
import torch
from detection.runtime.int8 import QuantisedConvolution
convolution = torch.nn.Conv2d(24, 96, 5, padding=2).requires_grad_(False)
layer = QuantisedConvolution(convolution, input_scale=1.0, output_scale=1.0)
for count in (0, 16, 32, 41, 48):
    layer(torch.zeros(count, 24, 8, 8, dtype=torch.uint8))
    print("done", count, flush=True)
"""


@needs_int8
def test_weights_are_arranged_once_for_all_batches() -> None:
    """oneDNN itself lists what it does: a "reorder" of the weights belongs to the first batch alone.

    The batches are as large as those of detection. For a single region on several cores oneDNN wants another order.
    """
    process = run_python(REARRANGED, ONEDNN_VERBOSE="profile_exec")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    first, *later = re.split(r"done \d+\n", out)
    assert "96x24x5x5" in first
    assert sum(",convolution," in batch for batch in later) == 4
    assert [batch for batch in later if re.search(r",reorder,.*96x24x5x5", batch)] == []


@needs_int8
def test_other_sizes_of_images_are_packed_anew() -> None:
    convolution = nn.Conv2d(24, 96, 5, padding=2).requires_grad_(requires_grad=False)
    layer = QuantisedConvolution(convolution, input_scale=0.02, output_scale=None)
    for side in (8, 31, 8):
        inputs = random_bytes(3, 24, side, side + 1)
        alone = QuantisedConvolution(convolution, input_scale=0.02, output_scale=None)(inputs)
        torch.testing.assert_close(layer(inputs), alone, rtol=0, atol=0)


@needs_int8
def test_nothing_overflows() -> None:
    convolution = nn.Conv2d(64, 2, 3, padding=1, bias=False).requires_grad_(requires_grad=False)
    convolution.weight[0], convolution.weight[1] = 1.0, -1.0
    inputs = torch.full((1, 64, 5, 5), 255, dtype=torch.uint8)
    found = QuantisedConvolution(convolution, input_scale=1.0, output_scale=None)(inputs)
    # All weights of a pair are half of what one alone could be: 62.06 of the scale 1 / 63.5, which becomes 33 / 2048.
    expected = 64 * 9 * 255 * 62 * 33 / 2048
    assert found[0, :, 2, 2].tolist() == pytest.approx([expected, -expected])


@needs_int8
def test_large_activations_are_cut_off() -> None:
    convolution = nn.Conv2d(8, 1, 1).requires_grad_(requires_grad=False)
    convolution.bias = nn.Parameter(torch.tensor([1000.0]), requires_grad=False)
    found = QuantisedConvolution(convolution, input_scale=1.0, output_scale=1.0)(torch.zeros(1, 8, 1, 1).byte())
    assert found.flatten().tolist() == [255]


@needs_int8
def test_a_layer_is_folded_and_quantised() -> None:
    convolution = layer()
    inputs, scale = random_bytes(4, 8, 9, 9), 0.03
    expected = convolution(inputs.float() * scale)
    output_scale = activation_scale(convolution)
    found = quantised(convolution, input_scale=scale, output_scale=output_scale)(inputs).float() * output_scale
    assert expected.max() > 1
    assert (found - expected.clamp(max=255 * output_scale)).abs().mean() < 0.01 * expected.mean()


def test_images_as_bytes_by_hand() -> None:
    read = QuantisedInput(-2.0, 3.1)
    assert read.scale == pytest.approx(0.02)
    assert read.zero == 100
    images = torch.tensor([-2.0, -0.02, 0.0, 0.029, 0.031, 3.1, 9.0, -9.0]).view(1, 1, 2, 4)
    assert read(images).flatten().tolist() == [0, 99, 100, 101, 102, 255, 255, 0]
    assert read(images).dtype == torch.uint8


@needs_int8
def test_first_convolution() -> None:
    convolution = layer(3, 8, 7, stride=2)
    generator = torch.Generator().manual_seed(1)
    images, scale = torch.rand(2, 3, 32, 33, generator=generator) * 5 - 2, 0.01
    expected = convolution(images) / scale
    found = quantised_first(convolution, low=-2, high=3, output_scale=scale)(images)
    assert found.dtype == torch.uint8
    assert (expected > 255).any()
    difference = (found - expected.clamp(max=255)).abs()
    assert difference.max() < 0.05 * 255  # in the corners too, where the padding is zero, and not the byte 0
    assert difference.mean() < 0.01 * 255


def test_activation_scale_by_hand() -> None:
    parts = layer(out_channels=2)
    parts[1].weight, parts[1].bias = nn.Parameter(torch.tensor([2.0, -3.0])), nn.Parameter(torch.tensor([1.0, -1.0]))
    # Five deviations above the mean are 1 + 5 * 2 = 11 and -1 + 5 * 3 = 14.
    assert activation_scale(parts) == pytest.approx(14 / 255)
    parts[1].bias = nn.Parameter(torch.tensor([-20.0, -20.0]))
    assert activation_scale(parts) > 0  # of zeros only
    for kept in ([parts[0], parts[2]], [parts[0], nn.Identity(), parts[2]], parts[:2]):
        with pytest.raises(ValueError, match="expected a convolution, batch normalisation and ReLU"):
            activation_scale(nn.Sequential(*kept))


@pytest.mark.parametrize("channels", [3, vector_length()])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(3, 1, 1), (3, 2, 0), (2, 2, 0), (3, 2, 1), (5, 3, 2)])
def test_max_pool_is_that_of_pytorch(
    kernel_size: int, stride: int, padding: int, ceil_mode: bool, channels: int
) -> None:
    pool = nn.MaxPool2d(kernel_size, stride, padding, ceil_mode=ceil_mode)
    for height, width in itertools.product(range(kernel_size, 13), repeat=2):
        inputs = random_bytes(2, channels, height, width, seed=height)
        found = QuantisedMaxPool(pool)(inputs)
        assert found.dtype == torch.uint8
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found.float(), pool(inputs.float()))


def test_mean() -> None:
    inputs = torch.tensor([[0, 255], [1, 4]], dtype=torch.uint8).view(1, 1, 2, 2)
    assert QuantisedMean(input_scale=0.5)(inputs).tolist() == [[32.5]]


@pytest.mark.parametrize(
    ("name", "where", "can", "expected"),
    [
        (None, CPU, (True, True), "int8"),
        (None, CPU, (False, True), "float32"),
        (None, CPU, (True, False), "float32"),
        (None, GPU, (True, True), "bfloat16"),
        ("int8", CPU, (True, True), "int8"),
        ("float32", CPU, (True, True), "float32"),
        ("float32", GPU, (True, True), "float32"),
        ("bfloat16", CPU, (True, True), "bfloat16"),
    ],
)
def test_precision_of_a_network(
    name: Precision | None, where: torch.device, can: tuple[bool, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_can, processor_can = can
    monkeypatch.setattr(device, "runs_int8", lambda: processor_can)
    assert find_precision(name, where, can_quantise=network_can, source="a") == expected


@pytest.mark.parametrize(
    ("where", "can_quantise", "runs", "message"),
    [
        (GPU, True, True, "^a: precision int8 needs device cpu, got cuda$"),
        (CPU, False, True, "^a: precision int8 needs a network with batch normalisation throughout$"),
        (CPU, True, False, "^a: precision int8 needs a processor for which PyTorch has convolutions of bytes$"),
    ],
)
def test_int8_where_it_cannot_be(
    where: torch.device, can_quantise: bool, runs: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "runs_int8", lambda: runs)
    with pytest.raises(InputError, match=message):
        find_precision("int8", where, can_quantise=can_quantise, source="a")


def test_types_of_numbers() -> None:
    assert number_type("int8") == number_type("float32") == torch.float32
    assert number_type("bfloat16") == torch.bfloat16


class WrongConvolution(QuantisedConvolution):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + 1


class NoConvolution(nn.Module):
    def __init__(self, *_: object, **__: object) -> None:
        raise RuntimeError("onednn::qconv_prepack is not for this processor")


@pytest.mark.parametrize("convolution", [WrongConvolution, NoConvolution])
def test_processors_without_it(convolution: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "QuantisedConvolution", convolution)
    assert not runs_int8.__wrapped__()
