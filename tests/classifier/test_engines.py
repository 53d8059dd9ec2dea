"""Whatever is fused, merged or replaced, a network computes the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from classifier.engines import ENGINES, FusedConvolution, ShiftedResponseNorm, find_engine, fused, prepare, using
from classifier.googlenet import GoogLeNet
from classifier.inception import Convolution
from classifier.response_norm import ResponseNorm

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


@pytest.mark.parametrize("engine", [name for name, one in ENGINES.items() if not one.compiled])
@pytest.mark.parametrize("batch_norm", [False, True])
@torch.no_grad()
def test_engines_agree(engine: str, batch_norm: bool) -> None:
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = googlenet(batch_norm=batch_norm)(images)
    assert expected.std() > 1e-3
    prepared = prepare(googlenet(batch_norm=batch_norm), ENGINES[engine], CPU, torch.float32)
    torch.testing.assert_close(prepared(images), expected, atol=1e-5, rtol=1e-5)


def test_what_is_fused() -> None:
    layer = Convolution(4, 8, 1, batch_norm=False)
    assert isinstance(fused(layer, gemm=False), FusedConvolution)
    with_norm = Convolution(4, 8, 1, batch_norm=True)
    assert fused(with_norm, gemm=False) is with_norm  # not folded


def test_response_norm_for_a_compiler() -> None:
    features = torch.randn(2, 24, 5, 7, generator=torch.Generator().manual_seed(0)) * 100
    torch.testing.assert_close(ShiftedResponseNorm()(features), ResponseNorm(24)(features))


def test_the_engine_of_a_cpu_is_eager() -> None:
    assert find_engine(CPU) == ENGINES["eager"]
    with using("fused"):
        assert find_engine(CPU) == ENGINES["fused"]
    assert find_engine(CPU) == ENGINES["eager"]


KERNELS = """
import torch
from torch.nn.functional import max_pool2d
from classifier.kernels import max_pool, response_norm
from classifier.response_norm import ResponseNorm
for channels, device in ((24, DEVICE), (3, DEVICE)):
    features = (torch.randn(2, channels, 9, 11, device=device) * 50).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(response_norm(features), ResponseNorm(channels).to(device)(features))
    for kernel, stride, padding, ceil_mode in ((3, 2, 0, True), (3, 1, 1, False), (2, 2, 0, True), (3, 2, 1, True)):
        for height, width in ((9, 11), (8, 8), (7, 10), (3, 4)):
            part = features[:, :, :height, :width]
            expected = max_pool2d(part, kernel, stride, padding, ceil_mode=ceil_mode)
            found = max_pool(part, kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
"""


def test_kernels() -> None:
    """On a GPU, or in Triton's interpreter, which has to be chosen before Triton is imported."""
    pytest.importorskip("triton")
    gpu = torch.cuda.is_available()
    environment = os.environ if gpu else {**os.environ, "TRITON_INTERPRET": "1"}
    code = KERNELS.replace("DEVICE", repr("cuda" if gpu else "cpu"))
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
