"""AlexNet: sections 3 to 5 of "ImageNet classification with deep convolutional neural networks" (NIPS 2012).

The classifier of R-CNN (arXiv 1311.2524). What the paper spreads over two GPUs is a convolution of two groups here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from classifier.layers.pixel_scale import PixelScale
from classifier.layers.response_norm import ResponseNorm
from detection.runtime.pixels import MEAN_RGB

HIDDEN = 4096
"""Units of each of the two hidden layers that follow the convolutions."""

SMALLEST_INPUT = 63
"""Leaves a single position, 15 - 7 - 3 - 1, to the three poolings."""

UNPADDED_INPUT = 227
"""R-CNN's input, on which the first convolution fits 55 times."""


class HalfDropout(nn.Module):
    """Section 4.2: half of the units are dropped in training, and all are halved otherwise.

    PyTorch's doubles the others in training instead. With the published initial weights and rate that is too much: the
    first steps raise the loss eightfold, and the units die.
    """

    def forward(self, units: Tensor) -> Tensor:
        return units * (torch.rand_like(units) < 0.5) if self.training else units / 2


class AlexNet(nn.Module):
    """The 8-layer network: images [B, 3, S, S] as `normalise` gives them -> logits [B, num_classes].

    The paper's weights have a scale that goes with pixels of 0-255 minus their mean, so the network first undoes the
    division of `normalise`. Its 224 pixels do not hold the 55 positions of Figure 2, which take 11 + 54 * 4 = 227; with
    two rows of zeros on each side, of which the last is not reached, they do. R-CNN's 227 pixels need no padding.

    Args:
        num_classes: outputs of the linear layer; for a region classifier the foreground classes plus background.
        input_size: side S of the images in pixels, at least 63; it decides how many inputs the first hidden layer has,
            9216 for both published sizes.

    Raises:
        ValueError: for a smaller `input_size`.
    """

    def __init__(self, num_classes: int, *, input_size: int = 224) -> None:
        super().__init__()
        if input_size < SMALLEST_INPUT:
            raise ValueError(f"input_size must be at least {SMALLEST_INPUT}, got {input_size}")
        self.input_size = input_size
        padding = 0 if input_size == UNPADDED_INPUT else 2
        self.scale = PixelScale(MEAN_RGB, 1)
        self.convolutions = _convolutions(padding)
        side = _pooled(_pooled(_pooled((input_size + 2 * padding - 11) // 4 + 1)))
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * side * side, HIDDEN),
            nn.ReLU(inplace=True),
            HalfDropout(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(inplace=True),
        )
        self.dropout = HalfDropout()
        self.linear = nn.Linear(HIDDEN, num_classes)
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """The last hidden layer, which the linear layer reads: [B, 3, S, S] -> [B, 4096].

        Raises:
            ValueError: if S is not the network's `input_size`.
        """
        if images.shape[1:] != (3, self.input_size, self.input_size):
            expected = ["B", 3, self.input_size, self.input_size]
            raise ValueError(f"images must have shape {expected}, got {list(images.shape)}")
        features: Tensor = self.hidden(self.convolutions(self.scale(images)))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, num_classes] of `features` [B, 4096], through dropout and the linear layer."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits

    def _initialise(self) -> None:
        """Section 5: weights N(0, 0.01); biases 1 in conv 2, 4, 5 and the hidden layers, to start the ReLUs, else 0."""
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        for layer, bias in zip(layers, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.get_parameter("bias"), bias)


def _convolutions(padding: int) -> nn.Sequential:
    """The five convolutions of Figure 2, of which the first has the `padding`: 224 or 227 pixels -> [B, 256, 6, 6]."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4, padding=padding),
        nn.ReLU(inplace=True),
        ResponseNorm(96),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        ResponseNorm(256),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )


def _pooled(side: int) -> int:
    """Positions left by an overlapping pooling of 3, stride 2 (section 3.4)."""
    return (side - 3) // 2 + 1
