"""`ImageClassifier`: a network that classifies whole images, or crops of them, without boxes and background."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights
from detection.runtime.device import find_device, find_precision, naming_failed_device, number_type, to_device
from detection.runtime.int8 import can_quantise
from detection.runtime.pixels import SCALE
from detection.runtime.portable import Portable
from detection.runtime.weights_files.engine import Precision


class ImageClassifier(Portable):
    """A network of a weights file on a device, as a classifier of whole images.

    Args:
        weights: a safetensors file, or the bare name of a shipped one. The network may also be one that was trained on
            regions; its background output is left out of the softmax.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number format of the network; None is the fastest one, see `find_precision`.
        batch_size: number of crops that pass through the network at once.

    Attributes:
        input_size: side S of the crops, in pixels; that of the training, unless it is changed.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `batch_size` is not positive.
    """

    def __init__(
        self, weights: str, *, device: str | None = None, precision: Precision | None = None, batch_size: int = 64
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.path = find_weights(weights)
        network, self.description = load_weights(self.path)
        self.input_size = self.description.input_size
        self.batch_size = batch_size
        self.device = find_device(device)
        self.precision = find_precision(precision, self.device, can_quantise=can_quantise(network), source=self.path)
        self.dtype = number_type(self.precision)
        self.network: Any = to_device(network, self.device, self.precision)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.description.class_names

    @torch.inference_mode()
    def probabilities(self, crops: Tensor) -> Tensor:
        """Return the class probabilities of crops: RGB minus mean [N, 3, S, S] -> float32 [N, C].

        Those of a network with SVMs have the order of its margins, but are not calibrated.
        """
        with naming_failed_device(self.device):
            logits = [self.network(batch).float() for batch in self._batches(crops)]
        return torch.cat(logits)[:, -len(self.class_names) :].softmax(dim=1)

    @torch.inference_mode()
    def features(self, crops: Tensor) -> Tensor:
        """Return the last hidden layer, from which the class layer computes logits: [N, 3, S, S] -> float32 [N, F]."""
        with naming_failed_device(self.device):
            return torch.cat([self.network.features(batch).float() for batch in self._batches(crops)])

    def _batches(self, crops: Tensor) -> Iterator[Tensor]:
        for batch in crops.split(self.batch_size):
            yield (batch * SCALE).to(self.dtype).contiguous(memory_format=torch.channels_last)
