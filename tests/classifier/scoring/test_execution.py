"""A network computes the same function in every execution, and our GPU kernels agree with PyTorch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from classifier.googlenet import GoogLeNet
from classifier.inception import Convolution
from classifier.layers.gpu import triton_check
from classifier.layers.gpu.packed_input import PackedConvolution, pack
from classifier.layers.gpu.triton_check import runs_kernels
from classifier.scoring.execution import (
    EXECUTIONS,
    Execution,
    FusedConvolution,
    find_execution,
    fuse,
    prepare,
)
from classifier.scoring.tensor_network import load_tensors

CPU = torch.device("cpu")


def googlenet(*, batch_norm: bool, torchvision_details: bool = False) -> nn.Module:
    torch.manual_seed(0)
    network = GoogLeNet(5, batch_norm=batch_norm, width_multiplier=0.125, torchvision_details=torchvision_details)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("torchvision_details", [False, True])
@torch.no_grad()
def test_executions_agree(execution: Execution, batch_norm: bool, torchvision_details: bool) -> None:
    def build() -> nn.Module:
        return googlenet(batch_norm=batch_norm, torchvision_details=torchvision_details)

    images = torch.randn(3, 3, 63, 64, generator=torch.Generator().manual_seed(1))
    expected = build()(images)
    assert expected.std() > 1e-3
    prepared = prepare(build(), execution, CPU, "float32")
    packed = any(isinstance(module, PackedConvolution) for module in prepared.modules())
    assert packed == (execution == "fused" and not torchvision_details)
    actual = prepared(pack(images) if packed else images)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_a_convolution_is_fused_unless_a_normalisation_follows() -> None:
    layer = Convolution(4, 8, 1, batch_norm=False)
    assert isinstance(fuse(layer), FusedConvolution)
    with_norm = Convolution(4, 8, 1, batch_norm=True)
    assert fuse(with_norm) is with_norm  # not folded


def test_a_cpu_is_eager_unless_told_otherwise(tiny_weights: Path) -> None:
    assert find_execution(CPU) == "eager"
    default, fused = (
        load_tensors(tiny_weights, "cpu", "float32", execution).network.modules() for execution in (None, "fused")
    )
    assert not any(isinstance(module, FusedConvolution) for module in default)
    assert any(isinstance(module, FusedConvolution) for module in fused)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A simulated GPU on which all checks of `runs_kernels` succeed, apart from the search for Triton."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(triton_check, "_try_kernel", lambda _: None)
    runs_kernels.cache_clear()
    yield torch.device("cuda")
    runs_kernels.cache_clear()


@pytest.mark.parametrize(
    ("capability", "triton", "expected"), [((8, 0), True, "fused"), ((7, 5), True, "eager"), ((8, 0), None, "eager")]
)
def test_a_gpu_is_fused_if_it_is_new_and_triton_is_installed(
    gpu: torch.device, capability: tuple[int, int], triton: bool | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: triton)
    assert find_execution(gpu) == expected


def test_a_gpu_is_eager_where_kernels_do_not_compile(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(triton_check, "_try_kernel", fail)
    with pytest.warns(RuntimeWarning, match="no kernels by Triton, which is slower: Failed to find C compiler"):
        assert find_execution(gpu) == "eager"
    assert find_execution(gpu) == "eager"  # the warning is given once


KERNELS = """
import torch
from torch.nn.functional import max_pool2d
from classifier.layers.gpu.kernels import max_pool, response_norm
from classifier.layers.gpu.max_pool_training import max_pool_with_gradient
from classifier.layers.response_norm import ResponseNorm
torch.backends.cudnn.allow_tf32 = False
generator = torch.Generator().manual_seed(0)
for channels in (8, 24, 3):
    features = (torch.randn(2, channels, 9, 11, device=DEVICE) * 50).contiguous(memory_format=torch.channels_last)
    if channels % 8 == 0:
        torch.testing.assert_close(response_norm(features), ResponseNorm(channels).to(DEVICE)(features))
    for kernel, stride, padding, ceil_mode in ((3, 2, 0, True), (3, 1, 1, False), (2, 2, 0, True), (3, 2, 1, True)):
        window = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        for height, width in ((9, 11), (7, 10), (3, 4)):
            part = features[:, :, :height, :width]
            expected = max_pool2d(part, kernel, stride, padding, ceil_mode=ceil_mode)
            torch.testing.assert_close(max_pool(part, **window), expected, rtol=0, atol=0)
            if channels == 8:
                continue
            values = torch.randn(2, channels, height, width, generator=generator).clamp(min=-0.3)  # many are equal
            values[0, 0, 1, 1] = float("nan")
            results = []
            for ours in (True, False):
                inputs = values.to(DEVICE).contiguous(memory_format=torch.channels_last).requires_grad_()
                if ours:
                    pooled = max_pool_with_gradient(inputs, **window)
                else:
                    pooled = max_pool2d(inputs, kernel, stride, padding, ceil_mode=ceil_mode)
                weights = torch.arange(pooled.numel(), device=DEVICE).view(pooled.shape) % 7 - 3.0
                pooled.backward(weights)  # which is not channels_last
                results.append((pooled, inputs.grad))
            torch.testing.assert_close(*results, rtol=0, atol=1e-5, equal_nan=True)
"""


WARP = """
import numpy, torch
from dataclasses import replace
from classifier.layers.gpu.packed_input import pack
from classifier.warp import triton_kernels
from classifier.warp.crop import ImageRegions, upload, warp_regions
from classifier.warp.triton_kernels import warp_inputs
from detection.runtime.pixels import SCALE
if DEVICE == "cpu":
    triton_kernels.BLOCK *= 4  # some regions still need several blocks; the interpreter takes as long for small ones
generator = numpy.random.default_rng(0)
images = [generator.integers(256, size=size, dtype=numpy.uint8) for size in ((60, 80, 3), (9, 7, 3), (5, 5, 3))]
boxes = [
    [[10, 10, 30, 28], [0, 0, 80, 60], [2, 3, 78, 15], [60, 40, 80, 60], [3.3, 2.2, 68.8, 57.7], [7, 5, 8, 6],
     [-30, -20, 40, 30], [200, 200, 260, 240], [5, 5, 5, 5]],
    [[0, 0, 7, 9]],
    numpy.zeros((0, 4)),
]
parts = [upload(image, numpy.asarray(each, numpy.float32), torch.device(DEVICE)) for image, each in zip(images, boxes)]
parts = [replace(part, pixels=torch.as_tensor(part.pixels)) for part in parts]  # which are arrays on a CPU
for size, context in ((24, 0), (13, 3)):
    warped = torch.cat([
        warp_regions(part.pixels[None], torch.from_numpy(part.windows)[None], size=size, context=context)[0]
        for part in parts
    ])
    for packed in (False, True):
        actual = warp_inputs(parts, size=size, context=context, dtype=torch.float32, packed=packed)
        assert actual.is_contiguous(memory_format=torch.channels_last)
        expected = warped * SCALE
        torch.testing.assert_close(actual, pack(expected) if packed else expected, atol=1e-4, rtol=0)
        assert (actual[7] == 0).all()  # wholly outside
assert warp_inputs(parts[2:], size=8, context=1, dtype=torch.float32, packed=True).shape == (0, 16, 7, 7)
bright = torch.full((3000, 3000, 3), 255, dtype=torch.uint8, device=DEVICE)  # its sums overflow
bright[:, :, 0] = 200
box = numpy.array([[2900, 2900, 3000, 3000], [0, 0, 3000, 3000], [2999, 2999, 3000, 3000]], numpy.float32)
parts = [ImageRegions(bright, box, box, (3000, 3000))]
actual = warp_inputs(parts, size=4, context=0, dtype=torch.float32, packed=False)
expected = torch.tensor([200 - 122.7, 255 - 116.7, 255 - 104.0]) * SCALE
for region, y, x in ((0, 2, 2), (1, 3, 0), (2, 1, 1)):
    torch.testing.assert_close(actual[region, :, y, x].cpu(), expected, atol=1e-4, rtol=0)
"""


@pytest.mark.parametrize("code", [KERNELS, WARP], ids=["layers", "warp"])
def test_kernels(code: str) -> None:
    """On a GPU, or in Triton's interpreter, which has to be chosen before Triton is imported."""
    pytest.importorskip("triton")
    gpu = torch.cuda.is_available()
    environment = os.environ if gpu else {**os.environ, "TRITON_INTERPRET": "1"}
    code = code.replace("DEVICE", repr("cuda" if gpu else "cpu"))
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
