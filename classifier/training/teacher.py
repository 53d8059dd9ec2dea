"""`Teacher`: trained networks that another network learns to imitate, which is called distillation.

The probabilities of a large network tell a small one more than labels do: which classes look alike, and which regions
are doubtful (Hinton et al., arXiv 1503.02531).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from classifier.scoring.description import find_weights
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import load_region_network
from classifier.training.class_loss import divergence
from classifier.training.samples.region_batch import RegionBatch
from classifier.warp.crop import warp_regions
from detection.errors import InputError
from detection.structures.class_choice import require_same_classes
from detection.structures.ranges import require_range


class Teacher:
    """Trained networks whose mean probabilities another network learns, beside the labels.

    The teachers see the regions of a batch undistorted, each at its own input size and with its own surroundings.

    Args:
        members: safetensors files of classifiers of regions, or bare names of shipped ones.
        temperature: the logits of all networks are divided by it; above 1, unlikely classes count more.
        share: weight of the teachers' probabilities in the loss of the classes, 0-1; that of the labels is 1 - `share`.
            The losses of auxiliary heads and of refined boxes do not change.

    Raises:
        ValueError: if there are no members, or a number is out of range.
    """

    def __init__(self, members: Sequence[str], *, temperature: float = 2.0, share: float = 0.5) -> None:
        require_range(0.01, 1000, temperature=temperature)
        require_range(0, 1, share=share)
        if not members:
            raise ValueError("members must name at least one weights file, got none")
        self.members = tuple(members)
        self.temperature = temperature
        self.share = share
        self._networks: list[LoadedNetwork] = []

    def crop_for(self, size: int, context: int, class_names: Sequence[str]) -> tuple[int, int]:
        """Return the input size and the context, in pixels, with which to cut out regions for all networks.

        Args:
            size: side of the input of the network that learns, in pixels.
            context: pixels of its input that show the surroundings of a region on each side.
            class_names: the classes that it learns.

        Raises:
            InputError: naming the file of a teacher that is missing, or does not score regions by the same classes.
        """
        inputs = [(size, context)]  # the inputs of all networks
        for path in map(find_weights, self.members):
            description = load_region_network(path)[1]
            require_same_classes(str(path), description.class_names, "the data set", class_names)
            if not description.background or description.head != "softmax":
                raise InputError(f"{path}: expected a teacher with a softmax over the classes and background")
            inputs.append((description.input_size, description.context))
        # The widest surroundings are cut out. The box in them keeps the pixels that the sharpest network reads of it.
        share = max(pixels / side for side, pixels in inputs)
        boxes = max(side - 2 * pixels for side, pixels in inputs)
        size = max(math.ceil(boxes / (1 - 2 * share)), *(side for side, _ in inputs))
        return size, min(math.ceil(share * size), (size - 1) // 2)

    def load(self, device: torch.device) -> None:
        """Load the networks to a device, on which they compute in their fastest number format.

        Raises:
            InputError: naming the file of a teacher that cannot be used.
        """
        self._networks = [
            LoadedNetwork(name, device=str(device), precision=None, batch_size=None, refine=False, tensors=True)
            for name in self.members
        ]

    def unload(self) -> None:
        """Free the memory of the networks."""
        self._networks = []

    def loss(self, logits: Tensor, batch: RegionBatch) -> Tensor:
        """Return the `divergence` of a network from the teachers. Call `load` first.

        Args:
            logits: [N, C + 1] of the network that learns, for the N regions of the batch.
            batch: the regions.
        """
        return divergence(logits, self.probabilities(batch), self.temperature)

    @torch.no_grad()
    def probabilities(self, batch: RegionBatch) -> Tensor:
        """Return the teachers' mean probabilities [N, C + 1] at the temperature, for the N regions of a batch.

        Call `load` first.
        """
        boxes = batch.boxes.unsqueeze(1)
        outputs = []
        with torch.autocast(batch.images.device.type, enabled=False):
            for network in self._networks:
                wanted = network.input_format
                regions = warp_regions(batch.images, boxes, size=wanted.size, context=wanted.context).squeeze(1)
                network.batch_size = min(network.batch_size, len(regions))  # a GPU would pad the batch
                with network.session():
                    logits = network.outputs(wanted.convert(regions)).logits
                outputs.append((logits / self.temperature).softmax(1))
        return torch.stack(outputs).mean(0)
