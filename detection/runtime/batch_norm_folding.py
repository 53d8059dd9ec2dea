"""Folds batch normalisation into the convolution before it, which gives the same results with fewer memory accesses."""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every normalisation that follows a convolution in an `nn.Sequential`, in place, and return the network.

    Raises:
        ValueError: if the network is in training mode, in which the statistics still change.
    """
    if network.training:
        raise ValueError("fold_batch_norm needs a network in evaluation mode")
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (_, first), (next_name, second) in pairwise(list(sequence.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                fold_into(first, second)
                setattr(sequence, next_name, nn.Identity())
    return network


def fold_into(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Change a convolution, in place, so that it also does the normalisation after it, as in evaluation mode."""
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, *cast(tuple[Tensor, Tensor, float, Tensor, Tensor], statistics)
    )
