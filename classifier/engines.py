"""How a network of `LoadedNetwork` computes: the same function by fewer passes over memory and fewer launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from classifier.inception import Convolution, Inception
from classifier.response_norm import ALPHA, BETA, OFFSET, SIZE, ResponseNorm
from detection.folding import fold_batch_norm


class Engine(NamedTuple):
    """What is done to a network.

    Attributes:
        fold: batch normalisation is folded, and memory is channels_last.
        graphs: batches of a few fixed sizes are replayed as CUDA graphs.
        kernels: Triton kernels pool and normalise.
        convolution: "plain", or "fused" with bias and ReLU in one cuDNN kernel, or "gemm": of 1x1 as a matrix product.
        merged: the 1x1 convolutions of an inception module that read the same are one.
        tuned: cuDNN tries its algorithms on each new shape.
        compiled: "" or by `torch.compile`, "default" or "autotuned".
    """

    fold: bool = True
    graphs: bool = True
    kernels: bool = True
    convolution: str = "plain"
    merged: bool = False
    tuned: bool = False
    compiled: str = ""


ENGINES = {
    "plain": Engine(fold=False, graphs=False, kernels=False),
    "eager": Engine(graphs=False, kernels=False),
    "graphs": Engine(kernels=False),
    "kernels": Engine(),
    "tuned": Engine(tuned=True),
    "fused": Engine(convolution="fused"),
    "fused_tuned": Engine(convolution="fused", tuned=True),
    "merged": Engine(convolution="fused", merged=True, tuned=True),
    "gemm": Engine(convolution="gemm", tuned=True),
    "gemm_merged": Engine(convolution="gemm", merged=True, tuned=True),
    "compiled": Engine(kernels=False, compiled="default", tuned=True),
    "autotuned": Engine(kernels=False, compiled="autotuned", tuned=True),
}

_chosen: list[str] = []


@contextmanager
def using(name: str) -> Iterator[None]:
    """Networks that are loaded meanwhile get this engine."""
    _chosen.append(name)
    try:
        yield
    finally:
        _chosen.pop()


def find_engine(device: torch.device) -> Engine:
    """The engine that suits the device, unless `using` says otherwise."""
    return ENGINES[_chosen[-1] if _chosen else "fused" if device.type == "cuda" else "eager"]


def prepare(network: nn.Module, engine: Engine, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network on its device, changed in place."""
    if not engine.fold:
        return network.to(device, dtype)
    fold_batch_norm(network)
    if engine.merged:
        _replace(network, Inception, MergedInception)
    if engine.convolution != "plain":
        _replace(network, Convolution, lambda layer: fused(layer, gemm=engine.convolution == "gemm"))
    if device.type == "cuda" and engine.kernels:
        _replace(network, ResponseNorm, lambda _: OnePassResponseNorm())
        _replace(network, nn.MaxPool2d, OnePassMaxPool)
    if engine.compiled:
        _replace(network, ResponseNorm, lambda _: ShiftedResponseNorm())
    network = network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if engine.compiled == "default":
        network.compile(dynamic=False)
    elif engine.compiled:
        network.compile(dynamic=False, options={"max_autotune": True, "conv_1x1_as_mm": True})
    return network


def _replace(network: nn.Module, kind: type[nn.Module], replacement: Callable[[Any], nn.Module]) -> None:
    """Replace, in place, all modules of a kind; one that is in several places stays one."""
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, kind):
                parent._modules[name] = made[child] = made.get(child) or replacement(child)


class FusedConvolution(nn.Module):
    """A convolution with its bias and a ReLU, by one kernel on a GPU: [B, C, H, W] -> [B, C', H', W']."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        if convolution.bias is None:
            convolution.bias = nn.Parameter(convolution.weight.new_zeros(convolution.out_channels))
        self.convolution = convolution

    def forward(self, features: Tensor) -> Tensor:
        layer = self.convolution
        if not features.is_cuda:
            return cast(Tensor, layer(features)).relu_()
        return torch.cudnn_convolution_relu(
            features, layer.weight, layer.bias, layer.stride, cast(Any, layer.padding), layer.dilation, layer.groups
        )


class PixelwiseConvolution(FusedConvolution):
    """One of 1x1, as a matrix product of all pixels."""

    def forward(self, features: Tensor) -> Tensor:
        count, channels, height, width = features.shape
        pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
        weight = self.convolution.weight.flatten(1).t()
        product = torch._addmm_activation(cast(Tensor, self.convolution.bias), pixels, weight, use_gelu=False)
        return product.view(count, height, width, -1).permute(0, 3, 1, 2)


def fused(layer: Convolution, *, gemm: bool) -> nn.Module:
    """The convolution in one kernel; as it is where more than an `Identity` stands between it and its ReLU."""
    convolution, *between, activation = layer
    if not (isinstance(convolution, nn.Conv2d) and isinstance(activation, nn.ReLU)):
        return layer
    if not all(isinstance(one, nn.Identity) for one in between):
        return layer
    return (PixelwiseConvolution if gemm and convolution.kernel_size == (1, 1) else FusedConvolution)(convolution)


class MergedInception(nn.Module):
    """An `Inception` without batch normalisation whose three 1x1 convolutions of the input are one."""

    def __init__(self, block: Inception) -> None:
        super().__init__()
        readers: list[Any] = [block.branch1x1, block.branch3x3[0], block.branch5x5[0]]
        convolutions = [reader[0] for reader in readers]
        self.widths = [one.out_channels for one in convolutions]
        self.reduce = Convolution(convolutions[0].in_channels, sum(self.widths), 1, batch_norm=False)
        merged = cast(nn.Conv2d, self.reduce[0])
        merged.weight = nn.Parameter(torch.cat([one.weight for one in convolutions]))
        merged.bias = nn.Parameter(torch.cat([one.bias for one in convolutions]))
        self.conv3x3, self.conv5x5, self.branch_pool = block.branch3x3[1], block.branch5x5[1], block.branch_pool

    def forward(self, features: Tensor) -> Tensor:
        conv1x1, reduced3x3, reduced5x5 = self.reduce(features).split(self.widths, dim=1)
        branches = [conv1x1, self.conv3x3(reduced3x3), self.conv5x5(reduced5x5), self.branch_pool(features)]
        return torch.cat(branches, dim=1)


class OnePassResponseNorm(nn.Module):
    """`ResponseNorm` on a GPU."""

    def forward(self, features: Tensor) -> Tensor:
        from classifier.kernels import response_norm  # noqa: PLC0415  Triton is only where there are GPUs

        return response_norm(features)


class OnePassMaxPool(nn.Module):
    """`nn.MaxPool2d` of a square on a GPU."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        from classifier.kernels import max_pool  # noqa: PLC0415

        kernel, stride, padding = cast(
            tuple[int, int, int], (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        return max_pool(features, kernel=kernel, stride=stride, padding=padding, ceil_mode=self.pool.ceil_mode)


class ShiftedResponseNorm(nn.Module):
    """`ResponseNorm` as a compiler makes one kernel of it."""

    def forward(self, features: Tensor) -> Tensor:
        reach = SIZE // 2
        channels = features.shape[1]
        squares = functional.pad(features.float().square(), (0, 0, 0, 0, reach, reach))
        sums = squares[:, :channels]
        for shift in range(1, SIZE):
            sums = sums + squares[:, shift : shift + channels]
        return (features * (OFFSET + ALPHA * sums).pow(-BETA)).to(features.dtype)
