"""AlexNet: sections 3 to 5 of "ImageNet classification with deep convolutional neural networks" (NIPS 2012).

This is the classifier of R-CNN (arXiv 1311.2524). A layer that the paper divides between two GPUs is a convolution with
two groups here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from classifier.layers.pixel_scale import PixelScale
from classifier.layers.response_norm import ResponseNorm
from detection.runtime.pixels import MEAN_RGB

HIDDEN = 4096
"""Units in each of the two fully connected hidden layers that follow the convolutions."""

SMALLEST_INPUT = 63
"""Side of the smallest image in pixels. The first convolution and the three poolings reduce it to 15, 7, 3 and 1."""

UNPADDED_INPUT = 227
"""Side of R-CNN's input in pixels. The first convolution has 55 positions on it without padding."""


class HalfDropout(nn.Module):
    """Dropout as in section 4.2: set half of the units to zero in training, and halve all units otherwise.

    `nn.Dropout` doubles the remaining units in training instead. With the published initial weights and learning rate
    that is too much: the first steps raise the loss eightfold, and the units die.
    """

    def forward(self, units: Tensor) -> Tensor:
        return units * (torch.rand_like(units) < 0.5) if self.training else units / 2


class AlexNet(nn.Module):
    """The 8-layer network: zero-mean RGB [B, 3, S, S], scaled as all our networks read it -> logits [B, num_classes].

    The published initial weights suit pixels of 0-255 minus their mean, so the network first undoes the scaling by
    `detection.runtime.pixels.SCALE`. The 55 positions of Figure 2 need 11 + 54 * 4 = 227 pixels, more than the paper's
    224. Two rows of zero padding on each side make up for that (the last row is not reached). R-CNN's 227 pixels need
    none.

    Args:
        num_classes: outputs of the linear layer; for a region classifier, the foreground classes plus background.
        input_size: side S of the images in pixels, at least 63. It determines the number of inputs of the first hidden
            layer, which is 9216 for both published sizes.

    Raises:
        ValueError: if `input_size` is less than 63.
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
        logits: Tensor = self.linear(self.dropout(self.features(images)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the last hidden layer, from which `linear` computes the logits: [B, 3, S, S] -> [B, 4096].

        Raises:
            ValueError: if S is not the network's `input_size`.
        """
        if images.shape[1:] != (3, self.input_size, self.input_size):
            expected = ["B", 3, self.input_size, self.input_size]
            raise ValueError(f"images must have shape {expected}, got {list(images.shape)}")
        features: Tensor = self.hidden(self.convolutions(self.scale(images)))
        return features

    def _initialise(self) -> None:
        """Draw weights from N(0, 0.01), as in section 5.

        Biases are 1 in convolutions 2, 4 and 5 and in the hidden layers, so that their ReLUs start active, and 0
        elsewhere.
        """
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        for layer, bias in zip(layers, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.get_parameter("bias"), bias)


def _convolutions(padding: int) -> nn.Sequential:
    """Return the five convolutions of Figure 2: [B, 3, S, S] -> [B, 256, 6, 6] for S of 224 and 227."""
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
    """Return the number of positions along a side after pooling windows of 3 with stride 2 (section 3.4)."""
    return (side - 3) // 2 + 1
