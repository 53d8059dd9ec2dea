"""`InceptionTrunk`, the convolutional layers of GoogLeNet: Table 1 and Figure 2 of arXiv 1409.4842.

The classifier (`classifier.googlenet`) and the proposal network (`proposals.multibox`) are built on this trunk. The
layers that are not convolutions are in `classifier.layers`; computing in int8 is explained in `detection.runtime.int8`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from classifier.layers.max_pool import MaxPool
from classifier.layers.pixel_scale import PixelScale
from classifier.layers.response_norm import CAFFE_ALPHA, CAFFE_OFFSET, ResponseNorm
from detection.runtime.int8 import QuantisedMaxPool, QuantisedMean, activation_scale, quantised, quantised_first
from detection.runtime.pixels import MEAN_RGB, SCALE


class InceptionWidths(NamedTuple):
    """Output channels of the six convolutions of an inception module, in the order of Table 1."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    pool_projection: int

    @property
    def total(self) -> int:
        """Channels of the module's concatenated output."""
        return self.conv1x1 + self.conv3x3 + self.conv5x5 + self.pool_projection


TABLE_1 = {
    "3a": InceptionWidths(64, 96, 128, 16, 32, 32),
    "3b": InceptionWidths(128, 128, 192, 32, 96, 64),
    "4a": InceptionWidths(192, 96, 208, 16, 48, 64),
    "4b": InceptionWidths(160, 112, 224, 24, 64, 64),
    "4c": InceptionWidths(128, 128, 256, 24, 64, 64),
    "4d": InceptionWidths(112, 144, 288, 32, 64, 64),
    "4e": InceptionWidths(256, 160, 320, 32, 128, 128),
    "5a": InceptionWidths(256, 160, 320, 32, 128, 128),
    "5b": InceptionWidths(384, 192, 384, 48, 128, 128),
}
STEM_WIDTHS = (64, 64, 192)

CAFFE_MEAN = (123.0, 117.0, 104.0)
"""The mean colour that BVLC's training of GoogLeNet subtracted, in RGB order."""


def scaled_width(channels: int, multiplier: float) -> int:
    """Return `channels` times `multiplier` as a multiple of 8, at least 8; a multiplier of 1 changes nothing."""
    return channels if multiplier == 1 else max(8, round(channels * multiplier / 8) * 8)


class Convolution(nn.Sequential):
    """A convolution with "same" padding and a ReLU. With `batch_norm` it has batch normalisation in place of a bias."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, batch_norm: bool
    ) -> None:
        padding = kernel_size // 2
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=not batch_norm)
        norm = [nn.BatchNorm2d(out_channels, eps=1e-3)] if batch_norm else []
        super().__init__(convolution, *norm, nn.ReLU(inplace=True))


class Inception(nn.Module):
    """An inception module (Figure 2b): four branches over the same input, concatenated.

    [B, in_channels, H, W] -> [B, widths.total, H, W]. `kernel_5x5` is the kernel size of the branch that is 5x5 in the
    paper.
    """

    def __init__(self, in_channels: int, widths: InceptionWidths, *, batch_norm: bool, kernel_5x5: int = 5) -> None:
        super().__init__()
        layer = partial(Convolution, batch_norm=batch_norm)
        self.branch1x1: nn.Sequential = layer(in_channels, widths.conv1x1, 1)
        reduce, last = layer(in_channels, widths.reduce3x3, 1), layer(widths.reduce3x3, widths.conv3x3, 3)
        self.branch3x3 = nn.Sequential(reduce, last)
        reduce, last = layer(in_channels, widths.reduce5x5, 1), layer(widths.reduce5x5, widths.conv5x5, kernel_5x5)
        self.branch5x5 = nn.Sequential(reduce, last)
        projection = layer(in_channels, widths.pool_projection, 1)
        self.branch_pool = nn.Sequential(MaxPool(3, stride=1, padding=1), projection)

    def forward(self, features: Tensor) -> Tensor:
        branches = (self.branch1x1, self.branch3x3, self.branch5x5, self.branch_pool)
        return torch.cat([branch(features) for branch in branches], dim=1)

    def quantise(self, input_scale: float) -> float:
        """Change the module in place so that it computes in int8; returns the scale of its output.

        All four branches write bytes of the same scale, so that they can be concatenated.
        """
        pool, projection = self.branch_pool
        ends = (self.branch1x1, self.branch3x3[1], self.branch5x5[1], projection)
        output_scale = max(activation_scale(end) for end in ends)
        self.branch1x1 = quantised(self.branch1x1, input_scale=input_scale, output_scale=output_scale)
        for branch in (self.branch3x3, self.branch5x5):
            reduce, last = branch
            scale = activation_scale(reduce)
            branch[0] = quantised(reduce, input_scale=input_scale, output_scale=scale)
            branch[1] = quantised(last, input_scale=scale, output_scale=output_scale)
        self.branch_pool[0] = QuantisedMaxPool(pool)
        self.branch_pool[1] = quantised(projection, input_scale=input_scale, output_scale=output_scale)
        return output_scale


class SpatialMean(nn.Module):
    """The mean over all positions of a feature map: [B, C, H, W] -> [B, C]."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class InceptionTrunk(nn.Module):
    """The layers of GoogLeNet up to the last average pooling, for images of any side S of at least 32 pixels.

    The input is zero-mean RGB [B, 3, S, S], scaled by `detection.runtime.pixels.SCALE`.

    Args:
        batch_norm: use batch normalisation (eps 1e-3) after every convolution, in place of the two local response
            normalisations and of the biases of the convolutions.
        stem_stride: 8 as published; 4, for small images, omits the pooling after the 3x3 convolution of the stem.
        width_multiplier: factor on the number of channels of every layer, which is rounded to a multiple of 8.
        torchvision_details: build the network that torchvision's weights were trained for: 3x3 kernels in the 5x5
            branches, a last max pooling of 2x2, and pixels scaled to -1 to 1. The input stays the same.
        caffe_details: build the network of Caffe's model zoo: pixels of 0 to 255 less its mean colour, and Caffe's
            response normalisation. The input stays the same.

    Attributes:
        channels: the number of output channels of each inception module, by its name, "3a" to "5b".
        can_quantise: True if `quantise` is possible, which needs batch normalisation.
        last_scale: the number that the bytes of the last module's output are multiplied by; 1 before `quantise`.

    Raises:
        ValueError: if `stem_stride` is not 4 or 8, if `width_multiplier` is not positive, or if details of two
            networks are asked for.
    """

    def __init__(
        self,
        *,
        batch_norm: bool = False,
        stem_stride: int = 8,
        width_multiplier: float = 1.0,
        torchvision_details: bool = False,
        caffe_details: bool = False,
    ) -> None:
        super().__init__()
        if stem_stride not in (4, 8):
            raise ValueError(f"stem_stride must be 4 or 8, got {stem_stride}")
        if width_multiplier <= 0:
            raise ValueError(f"width_multiplier must be positive, got {width_multiplier}")
        if torchvision_details and caffe_details:
            raise ValueError("expected torchvision_details or caffe_details, got both")
        self.channels: dict[str, int] = {}
        self.can_quantise = batch_norm
        self.last_scale = 1.0
        self.scale: nn.Module = nn.Identity()
        if torchvision_details:
            self.scale = PixelScale((127.5, 127.5, 127.5), 127.5)
        elif caffe_details:
            self.scale = PixelScale(CAFFE_MEAN, 1.0)
        self.stem = _stem(width_multiplier, stem_stride, batch_norm=batch_norm, caffe_details=caffe_details)
        self.blocks = nn.ModuleDict()
        channels = scaled_width(STEM_WIDTHS[-1], width_multiplier)
        kernel_5x5 = 3 if torchvision_details else 5
        for name, row in TABLE_1.items():
            widths = InceptionWidths(*(scaled_width(width, width_multiplier) for width in row))
            self.blocks[name] = Inception(channels, widths, batch_norm=batch_norm, kernel_5x5=kernel_5x5)
            channels = self.channels[name] = widths.total
        self.pool: nn.Module = MaxPool(3, stride=2, ceil_mode=True)
        self.last_pool: nn.Module = MaxPool(2 if torchvision_details else 3, stride=2, ceil_mode=True)
        self.average: nn.Module = SpatialMean()
        self.apply(initialise)

    def features(self, images: Tensor) -> Tensor:
        """Return the output of the last module, averaged over all positions: [B, 3, S, S] -> [B, channels["5b"]]."""
        return cast(Tensor, self.average(self.last_map(images)))

    def last_map(self, images: Tensor) -> Tensor:
        """Return the output of the last module, [B, channels["5b"], H, W]; `last_scale` multiplies its numbers."""
        for _, last in self.modules_in_turn(images):
            features = last
        return features

    def feature_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the output [B, channels[name], H, W] of each inception module, in order of depth.

        H = W is S / `stem_stride` for 3a and 3b, half of that for 4a to 4e and a quarter for 5a and 5b, rounded up.
        """
        return dict(self.modules_in_turn(images))

    def modules_in_turn(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the output of each inception module, so that the caller need not keep all outputs."""
        features = self.stem(self.scale(images))
        for name, block in self.blocks.items():
            if name == "4a":
                features = self.pool(features)
            elif name == "5a":
                features = self.last_pool(features)
            features = block(features)
            yield name, features

    def quantise(self) -> dict[str, float]:
        """Change the network in place so that it computes in int8; its feature maps are uint8 from then on.

        Returns:
            The scale of each inception module's output, by its name: the number that its bytes are multiplied by.

        Raises:
            ValueError: if there is no batch normalisation, from which the range of the activations is derived.
        """
        pixels = (torch.tensor([[0.0], [255.0]]) - torch.tensor(MEAN_RGB)) * SCALE  # a black and a white pixel
        low, high = self.scale(pixels.view(2, 3, 1, 1)).aminmax()
        scale = _quantise_stem(self.stem, low.item(), high.item())
        scales = {}
        for name, block in self.blocks.items():
            scale = scales[name] = cast(Inception, block).quantise(scale)
        self.pool, self.last_pool = QuantisedMaxPool(self.pool), QuantisedMaxPool(self.last_pool)
        self.average, self.last_scale = QuantisedMean(input_scale=scale), scale
        return scales


def _stem(width_multiplier: float, stride: int, *, batch_norm: bool, caffe_details: bool) -> nn.Sequential:
    """Return the layers before 3a: [B, 3, S, S] -> [B, 192 x width, S / stride, S / stride]."""
    first, reduce, last = (scaled_width(width, width_multiplier) for width in STEM_WIDTHS)
    # The paper gives no parameters for the response normalisation. AlexNet's are used, unless Caffe's are asked for.
    norm = partial(ResponseNorm, alpha=CAFFE_ALPHA, offset=CAFFE_OFFSET) if caffe_details else ResponseNorm
    norms = [nn.Identity() if batch_norm else norm(channels) for channels in (first, last)]
    pool = MaxPool(3, stride=2, ceil_mode=True)
    return nn.Sequential(
        Convolution(3, first, 7, stride=2, batch_norm=batch_norm),
        pool,
        norms[0],
        Convolution(first, reduce, 1, batch_norm=batch_norm),
        Convolution(reduce, last, 3, batch_norm=batch_norm),
        norms[1],
        pool if stride == 8 else nn.Identity(),
    )


def _quantise_stem(stem: nn.Sequential, low: float, high: float) -> float:
    """Change the stem, which reads numbers from `low` to `high`, in place; returns the scale of its output."""
    first, reduce, last = (place for place, layer in enumerate(stem) if isinstance(layer, Convolution))
    scales = {place: activation_scale(stem[place]) for place in (first, reduce, last)}
    stem[first] = quantised_first(stem[first], low=low, high=high, output_scale=scales[first])
    stem[reduce] = quantised(stem[reduce], input_scale=scales[first], output_scale=scales[reduce])
    stem[last] = quantised(stem[last], input_scale=scales[reduce], output_scale=scales[last])
    for place, layer in enumerate(stem):
        if isinstance(layer, nn.MaxPool2d):
            stem[place] = QuantisedMaxPool(layer)
    return scales[last]


def initialise(module: nn.Module) -> None:
    """Initialise a layer: He et al. (2015) for convolutions, N(0, 0.01) for linear layers, and 0 for biases.

    The paper does not say how it initialises. Without batch normalisation the weights have to depend on the number of
    inputs (fan_in), or activations would grow from layer to layer: a 1x1 reduction has up to 30 times as many inputs as
    outputs.
    """
    if isinstance(module, nn.Conv2d):
        fan: Literal["fan_in", "fan_out"] = "fan_out" if module.bias is None else "fan_in"
        nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
