"""`SecondTask`: the classes of another network, which a classifier learns to tell apart beside its own.

A network that has learned many classes from many pictures knows more about the regions of photographs than their few
labels say. Its outputs are a second target for the same features (arXiv 1503.02531), and need no labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from classifier.training.class_loss import divergence
from detection.runtime.pixels import MEAN_RGB
from detection.structures.ranges import require_range

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean of red, green and blue, 0-255, that networks of torchvision subtract."""

IMAGENET_STD = (58.395, 57.12, 57.375)
"""Standard deviation of red, green and blue by which networks of torchvision divide."""


class SecondTask:
    """A trained network of other classes, whose probabilities a classifier learns by a linear layer on its features.

    The network sees the regions of a batch with the same surroundings and the same distortions as the classifier. The
    linear layer is not part of the weights that are exported.

    Args:
        network: takes pictures [N, 3, S, S] and returns logits [N, K] of any K classes.
        input_size: side S of its input in pixels.
        mean: mean of red, green and blue, 0-255, which is subtracted from its input.
        std: numbers by which red, green and blue are divided after that.
        temperature: all logits are divided by it; above 1, unlikely classes count more.
        share: factor on the loss, which is added to the loss of the classifier's own classes.
        head_steps: number of first steps in which only the linear layer learns from this loss, because it begins with
            random weights, which would spoil the features.

    Attributes:
        outputs: number K of classes.

    Raises:
        ValueError: if a number is out of range, or if the network does not return logits for pictures of this size.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        input_size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        temperature: float = 2.0,
        share: float = 0.5,
        head_steps: int = 50,
    ) -> None:
        require_range(1, 10_000, input_size=input_size)
        require_range(0.01, 1000, temperature=temperature)
        require_range(0, 1000, share=share)
        require_range(0, 1e9, head_steps=head_steps)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"expected a mean and a std above 0 of red, green and blue, got {list(mean)}, {list(std)}")
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.input_size = input_size
        self.temperature = temperature
        self.share = share
        self.head_steps = head_steps
        self._shift = torch.tensor(MEAN_RGB) - torch.tensor(mean)
        self._std = torch.tensor(std)
        self.outputs = self._count_outputs()

    def load(self, device: torch.device) -> None:
        """Copy the network to a device."""
        self.network.to(device)
        self._shift, self._std = self._shift.to(device), self._std.to(device)

    def unload(self) -> None:
        """Free the memory of the device."""
        self.load(torch.device("cpu"))

    def loss(self, logits: Tensor, regions: Tensor) -> Tensor:
        """Return the `divergence` from the network, times `share`. Call `load` first.

        Args:
            logits: [N, K] of the linear layer.
            regions: distorted regions [N, 3, S, S], in pixel values less `MEAN_RGB`.
        """
        return self.share * divergence(logits, self.probabilities(regions), self.temperature)

    @torch.no_grad()
    def probabilities(self, regions: Tensor) -> Tensor:
        """Return the probabilities [N, K] at the temperature for regions as in `loss`."""
        with torch.autocast(regions.device.type, enabled=False):
            pictures = (regions + self._shift.view(3, 1, 1)) / self._std.view(3, 1, 1)
            logits: Tensor = self.network(pictures.contiguous(memory_format=torch.channels_last))
            return (logits.float() / self.temperature).softmax(1)

    @torch.no_grad()
    def _count_outputs(self) -> int:
        try:
            logits = self.network(torch.zeros(2, 3, self.input_size, self.input_size))
        except RuntimeError as error:
            raise ValueError(f"expected a network for pictures of {self.input_size} px, got: {error}") from None
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
            kind = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"expected a network that returns logits [2, K] for two pictures, got {kind}")
        return logits.shape[1]
