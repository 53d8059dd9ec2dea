"""A network of a weights file on a device: what it says of warped regions, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from classifier.box_coder import mirror_deltas
from classifier.region_network import RegionOutputs
from classifier.weights_file import find_weights, load_region_network
from detection.device import Precision, find_device, find_precision, is_out_of_memory, naming_failed_device
from detection.errors import InputError
from detection.folding import fold_batch_norm
from detection.pixels import normalise

Output = TypeVar("Output")


class Crop(NamedTuple):
    """How a network wants regions warped: side of the input, and how much of it shows surroundings, in pixels."""

    size: int
    context: int


class LoadedNetwork:
    """A network that scores regions, folded and on its device.

    Where a batch does not fit into the memory of the device, it is halved, and so are all later ones.

    Args:
        weights: a safetensors file written by `tools.train_classifier export`; a bare name is one of the shipped files.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default bfloat16 on a GPU and float32 elsewhere.
        batch_size: regions that pass through the network at once.
        refine: whether to refine boxes, if the network can.

    Attributes:
        refines: whether it does.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `batch_size` is not positive.
    """

    def __init__(
        self, weights: str, *, device: str | None, precision: Precision | None, batch_size: int, refine: bool = True
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.path = find_weights(weights)
        network, self.description = load_region_network(self.path)
        if not self.description.background:
            raise InputError(
                f"{self.path}: expected a network that was trained on regions, got one for whole images only"
            )
        self.crop = Crop(self.description.input_size, self.description.context)
        self.refines = refine and self.description.box_regression
        self.batch_size = batch_size
        self.device = find_device(device)
        self.dtype = find_precision(precision, self.device)
        with naming_failed_device(self.device):
            self.network = fold_batch_norm(network).to(  # type: ignore[call-overload]
                self.device, self.dtype, memory_format=torch.channels_last
            )

    @torch.inference_mode()
    def outputs(self, regions: Tensor, *, mirrored: bool = False) -> RegionOutputs:
        """What the network says of warped regions [N, 3, S, S], or of their mirror images, in float32.

        Deltas are those of the regions in either case.
        """
        batches = self._in_batches(self._mirrored if mirrored else self.network, regions)
        logits = torch.cat([batch.logits for batch in batches]).float()
        if not self.refines:
            return RegionOutputs(logits, None)
        deltas = torch.cat([batch.deltas for batch in batches]).float()
        return RegionOutputs(logits, mirror_deltas(deltas) if mirrored else deltas)

    @torch.inference_mode()
    def features(self, regions: Tensor) -> Tensor:
        """What the heads read of warped regions [N, 3, S, S]: float32 [N, F]."""
        return torch.cat(self._in_batches(self.network.features, regions)).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of logits [N, C + 1], or margins [N, C], as `outputs` gives them: [N, C + 1], column 0 is background."""
        return svm_probabilities(logits) if self.description.head == "svm" else logits.softmax(dim=1)

    def _in_batches(self, function: Callable[[Tensor], Output], regions: Tensor) -> list[Output]:
        """What `function` gives for one batch after the other; an empty one where there are no regions."""
        found: list[Output] = []
        start = 0
        while not found or start < len(regions):
            batch = regions[start : start + self.batch_size]
            try:
                found.append(function(self._inputs(batch)))
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(batch) <= 1:
                    raise
                self.batch_size = len(batch) // 2
                continue
            start += len(batch)
        return found

    def _mirrored(self, inputs: Tensor) -> RegionOutputs:
        outputs: RegionOutputs = self.network(inputs.flip(3))
        return outputs

    def _inputs(self, regions: Tensor) -> Tensor:
        return normalise(regions).to(self.dtype).contiguous(memory_format=torch.channels_last)


def svm_probabilities(margins: Tensor) -> Tensor:
    """Scores of SVMs within 0-1: [N, C] -> [N, C + 1].

    The logistic function keeps the order of R-CNN's margins, within a class and between classes, so suppression and
    ranking are R-CNN's; 0.5 is the decision of the SVM. It is no calibrated probability. Column 0, background, is what
    the best class leaves of 1.
    """
    foreground = margins.sigmoid()
    return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)
