"""How a network of `LoadedNetwork` computes: the same function by fewer passes over memory and fewer launches."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from classifier.inception import Convolution
from classifier.layers.gpu.packed_input import pack_stem
from classifier.layers.response_norm import ResponseNorm
from detection.runtime.batch_norm_folding import fold_batch_norm
from detection.runtime.device import Precision, number_type, to_device

Engine = Literal["plain", "eager", "fused"]
"""What is done to a network.

plain: nothing. eager: batch normalisation is folded, memory is channels_last. fused: moreover a convolution, its bias
and ReLU are one kernel of cuDNN, the first one reads packed images, kernels of ours pool, normalise and warp, and
batches are replayed as CUDA graphs.
"""

ENGINES: tuple[Engine, ...] = ("plain", "eager", "fused")

LEAST_CAPABILITY = (8, 0)
"""Of a GPU for "fused": the first with bfloat16."""

_chosen: list[Engine] = []


@contextmanager
def using(engine: Engine) -> Iterator[None]:
    """Networks that are loaded meanwhile get this engine."""
    _chosen.append(engine)
    try:
        yield
    finally:
        _chosen.pop()


def find_engine(device: torch.device) -> Engine:
    """What `using` says, or else "fused" where a GPU can, and "eager" elsewhere."""
    if _chosen:
        return _chosen[-1]
    return "fused" if device.type == "cuda" and runs_kernels(device) else "eager"


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """Whether a GPU is NVIDIA's and new enough, Triton is there, and its kernels compile and run, which is tried."""
    if torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    if torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return False
    try:
        _try_kernel(device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(f"no kernels by Triton, which is slower: {error}", RuntimeWarning, stacklevel=2)
        return False
    return True


def _try_kernel(device: torch.device) -> None:
    with torch.cuda.device(device):
        OnePassResponseNorm(ResponseNorm(8))(torch.zeros(1, 8, 1, 1, device=device)).cpu()


def prepare(network: nn.Module, engine: Engine, device: torch.device, precision: Precision) -> nn.Module:
    """The network on its device, changed in place; if fused it may read packed images afterwards."""
    if engine == "plain":
        return network.to(device, number_type(precision))
    if engine == "fused":
        fold_batch_norm(network)
        pack_stem(network)
        _replace(network, Convolution, fused)
        if device.type == "cuda":
            _replace(network, ResponseNorm, OnePassResponseNorm)
            _replace(network, nn.MaxPool2d, OnePassMaxPool)
    return to_device(network, device, precision)


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


def fused(layer: Convolution) -> nn.Module:
    """The convolution in one kernel; as it is where more than an `Identity` stands between it and its ReLU."""
    convolution, *between, activation = layer
    if not (isinstance(convolution, nn.Conv2d) and isinstance(activation, nn.ReLU)):
        return layer
    if not all(isinstance(one, nn.Identity) for one in between):
        return layer
    return FusedConvolution(convolution)


class OnePassResponseNorm(nn.Module):
    """`ResponseNorm` on a GPU."""

    def __init__(self, norm: ResponseNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        from classifier.layers.gpu.kernels import VECTOR, response_norm  # noqa: PLC0415  Triton is only where there are GPUs

        return cast(Tensor, self.norm(features)) if features.shape[1] % VECTOR else response_norm(features)


class OnePassMaxPool(nn.Module):
    """`nn.MaxPool2d` of a square on a GPU."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        from classifier.layers.gpu.kernels import max_pool  # noqa: PLC0415

        kernel, stride, padding = cast(
            tuple[int, int, int], (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        return max_pool(features, kernel=kernel, stride=stride, padding=padding, ceil_mode=self.pool.ceil_mode)
