"""Prepare a network for fast scoring: the same function with fewer passes over memory and fewer kernel launches."""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from classifier.inception import Convolution, InceptionTrunk
from classifier.layers.gpu.packed_input import PackedConvolution
from classifier.layers.gpu.triton_check import runs_kernels
from classifier.layers.response_norm import ResponseNorm
from detection.runtime.batch_norm_folding import fold_batch_norm
from detection.runtime.device import number_type, to_device
from detection.runtime.weights_files.engine import Precision

Execution = Literal["plain", "eager", "fused"]
"""The ways to compute a network.

plain: as it is. eager: batch normalisation is folded into the convolutions, and memory is channels_last. fused: in
addition a convolution, its bias and its ReLU are one kernel of cuDNN, the first convolution reads packed images, our
own kernels pool, normalise and warp, and batches are replayed as CUDA graphs.
"""

EXECUTIONS: tuple[Execution, ...] = ("plain", "eager", "fused")


def find_execution(device: torch.device) -> Execution:
    """Return "fused" for a GPU that runs our kernels, and "eager" for any other device."""
    return "fused" if device.type == "cuda" and runs_kernels(device) else "eager"


def prepare(network: nn.Module, execution: Execution, device: torch.device, precision: Precision) -> nn.Module:
    """Change a network in place for an execution, and move it to the device. A fused network may read packed images."""
    if execution == "plain":
        return network.to(device, number_type(precision))
    if execution == "fused":
        fold_batch_norm(network)
        _pack_first_convolution(network)
        _replace(network, Convolution, fuse)
        if device.type == "cuda":
            _replace(network, ResponseNorm, OnePassResponseNorm)
            _replace(network, nn.MaxPool2d, OnePassMaxPool)
    return to_device(network, device, precision)


def _pack_first_convolution(network: nn.Module) -> None:
    """Let the first convolution of an `InceptionTrunk` read packed images; other networks stay as they are."""
    for trunk in network.modules():
        # With other scales of pixels, the zero padding of a packed image would no longer be zero.
        if isinstance(trunk, InceptionTrunk) and isinstance(trunk.scale, nn.Identity):
            first = cast(nn.Sequential, trunk.stem[0])
            first[0] = PackedConvolution(cast(nn.Conv2d, first[0]))


def _replace(network: nn.Module, kind: type[nn.Module], replacement: Callable[[Any], nn.Module]) -> None:
    """Replace all modules of a kind in place. A module that is used in several places gets one replacement."""
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, kind):
                parent._modules[name] = made[child] = made.get(child) or replacement(child)


class FusedConvolution(nn.Module):
    """A convolution with its bias and a ReLU, in one kernel on a GPU: [B, C, H, W] -> [B, C', H', W']."""

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


def fuse(layer: Convolution) -> nn.Module:
    """Return a layer as a `FusedConvolution`, unless more than an `Identity` is between convolution and ReLU."""
    convolution, *between, activation = layer
    if not (isinstance(convolution, nn.Conv2d) and isinstance(activation, nn.ReLU)):
        return layer
    if not all(isinstance(module, nn.Identity) for module in between):
        return layer
    return FusedConvolution(convolution)


class OnePassResponseNorm(nn.Module):
    """`ResponseNorm` in one pass over memory on a GPU."""

    def __init__(self, norm: ResponseNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        from classifier.layers.gpu.kernels import VECTOR, response_norm  # noqa: PLC0415  Triton is only where there are GPUs

        return cast(Tensor, self.norm(features)) if features.shape[1] % VECTOR else response_norm(features)


class OnePassMaxPool(nn.Module):
    """`nn.MaxPool2d` with square windows in one pass over memory on a GPU."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        from classifier.layers.gpu.kernels import max_pool  # noqa: PLC0415

        kernel, stride, padding = cast(
            tuple[int, int, int], (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        return max_pool(features, kernel=kernel, stride=stride, padding=padding, ceil_mode=self.pool.ceil_mode)
