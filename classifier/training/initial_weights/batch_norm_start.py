"""Batch normalisation in a published network: `with_batch_norm`, the start of `detect-fold-response-norm`.

The published GoogLeNet has response normalisation, which cannot be computed in int8. The network that is made here has
batch normalisation instead. Its statistics come from images, and its weights and biases undo the normalisation, so each
layer computes what it did before.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from classifier.googlenet import GoogLeNet
from classifier.inception import TABLE_1
from classifier.layers.response_norm import ResponseNorm
from detection.runtime.pixels import SCALE

BLOCK_STARTS = ("branch1x1", "branch3x3.0", "branch5x5.0", "branch_pool.1")
"""The convolutions that read the input of an inception module."""

BLOCK_ENDS = ("branch1x1", "branch3x3.1", "branch5x5.1", "branch_pool.1")
"""The convolutions whose outputs an inception module concatenates."""

SMALLEST_DEVIATION = 0.01
"""Smallest standard deviation of a channel, as a share of the mean of its layer's channels."""

NORMALISED = {"stem.2": "stem.0", "stem.5": "stem.4"}
"""The convolution whose output each response normalisation reads, after a ReLU and perhaps a pooling."""


class Moments(NamedTuple):
    """Statistics of the output of a convolution, before its ReLU.

    `mean` and `variance` [C] of each channel; `factor` [C], by which a channel is multiplied to come nearest to the
    response normalisation after it, or 1 if there is none.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each channel [C], with a lower limit for channels whose output hardly varies."""
        deviation = self.variance.sqrt()
        return deviation.clamp_min(SMALLEST_DEVIATION * deviation.mean().item())

    @property
    def scale(self) -> float:
        """The divisor of the output in the new network, because Caffe's activations are in the hundreds."""
        return (self.deviation * self.factor).mean().item()


def with_batch_norm(published: GoogLeNet, images: Tensor) -> GoogLeNet:
    """Return a network with batch normalisation whose activations are about those of `published`, but for their scale.

    A response normalisation becomes a factor for each channel, found by least squares. This is a coarse replacement:
    the network needs some training to give the scores of the published one.

    Args:
        published: the network of `from_caffe`.
        images: [B, 3, S, S], as the networks read them.
    """
    moments = _observe(published, images)
    network = GoogLeNet(published.linear.out_features, batch_norm=True, dropout=published.dropout.p).eval()
    state = network.state_dict()
    output_scales = _output_scales(moments)
    input_scales = _input_scales(output_scales)
    for name, layer_moments in moments.items():
        convolution = cast(nn.Conv2d, published.get_submodule(f"{name}.0"))
        epsilon = cast(nn.BatchNorm2d, network.get_submodule(f"{name}.1")).eps
        deviation, factor = layer_moments.deviation, layer_moments.factor / output_scales[name]
        variance = layer_moments.variance / deviation.square()
        bias = cast(Tensor, convolution.bias).detach()
        state[f"{name}.0.weight"] = convolution.weight.detach() * input_scales[name] / deviation.view(-1, 1, 1, 1)
        state[f"{name}.1.running_mean"] = (layer_moments.mean - bias) / deviation
        state[f"{name}.1.running_var"] = variance
        state[f"{name}.1.weight"] = (variance + epsilon).sqrt() * deviation * factor
        state[f"{name}.1.bias"] = layer_moments.mean * factor
    state["linear.weight"] = published.linear.weight.detach() * input_scales["linear"]
    state["linear.bias"] = published.linear.bias.detach()
    network.load_state_dict(state)
    return network


def _output_scales(moments: Mapping[str, Moments]) -> dict[str, float]:
    """Return what the output of each convolution is divided by; outputs that are concatenated share one scale."""
    scales = {name: layer_moments.scale for name, layer_moments in moments.items()}
    for block in TABLE_1:
        ends = [f"blocks.{block}.{end}" for end in BLOCK_ENDS]
        scales |= dict.fromkeys(ends, sum(scales[end] for end in ends) / len(ends))
    return scales


def _input_scales(scales: Mapping[str, float]) -> dict[str, float]:
    """Return what the input of each layer has been divided by, given the scale of each convolution's output."""
    inputs = {"stem.0": 1 / SCALE, "stem.3": scales["stem.0"], "stem.4": scales["stem.3"]}
    before = scales["stem.4"]
    for block in TABLE_1:
        name = f"blocks.{block}"
        inputs |= {f"{name}.{start}": before for start in BLOCK_STARTS}
        inputs |= {f"{name}.branch{kernel}.1": scales[f"{name}.branch{kernel}.0"] for kernel in ("3x3", "5x5")}
        before = scales[f"{name}.{BLOCK_ENDS[0]}"]
    return inputs | {"linear": before}


def _observe(network: GoogLeNet, images: Tensor) -> dict[str, Moments]:
    """Return the statistics of each convolution on the images, by the name of the convolution."""
    moments: dict[str, Moments] = {}

    def observe(name: str, layer: nn.Module, features: Tensor, output: Tensor) -> None:
        if isinstance(layer, ResponseNorm):
            square = features.square().sum((0, 2, 3))
            factor = torch.where(square > 0, (features * output).sum((0, 2, 3)) / square, 1)
            moments[NORMALISED[name]] = moments[NORMALISED[name]]._replace(factor=factor)
        else:
            variance, mean = torch.var_mean(output, dim=(0, 2, 3))
            moments[name.removesuffix(".0")] = Moments(mean, variance, torch.ones_like(mean))

    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, name=name: observe(name, layer, inputs[0], output))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | ResponseNorm)
    ]
    with torch.inference_mode():
        network(images)
    for hook in hooks:
        hook.remove()
    return moments
