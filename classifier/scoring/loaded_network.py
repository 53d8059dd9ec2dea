"""A network of a weights file on a device: what it says of warped regions, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from classifier.inception import first_quantised
from classifier.layers.gpu.packed_input import pack, reads_packed, unpack
from classifier.region_network import RegionOutputs, mirror_deltas
from classifier.scoring.cuda_graphs import BatchGraphs, compute_padded, next_size
from classifier.scoring.execution import find_engine, prepare
from classifier.scoring.weights_file import find_weights, load_region_network
from detection.errors import InputError
from detection.runtime.device import (
    Precision,
    find_device,
    find_precision,
    is_out_of_memory,
    naming_failed_device,
    number_type,
)
from detection.runtime.pixels import SCALE

Output = TypeVar("Output")

BATCH_SIZE = 64
"""On a CPU, where more is slower."""

INT8_BATCH_PIXELS = 128 * 64 * 64
"""On a CPU in int8, which needs less memory: 128 regions at 64 pixels, 227 at 48."""

INT8_LEAST_BATCH_SIZE = 32
"""Of larger regions."""

INT8_STEP = 16
"""Batches in int8 are padded to a multiple of so many regions. For each new number of them oneDNN prepares all its
convolutions, which takes as long as a dozen regions, and it keeps what it prepared for some twenty numbers only."""

GPU_BATCH_PIXELS = 704 * 224 * 224
"""On a GPU: 704 regions at 224 pixels, 8,624 at 64; twice that holds what selective search finds in a photograph."""


class Crop(NamedTuple):
    """How a network wants regions warped: side of the input, and how much of it shows surroundings, in pixels."""

    size: int
    context: int


class LoadedNetwork:
    """A network that scores regions, folded and on its device.

    Where a batch does not fit into the memory of the device, it is halved, and so are all later ones.

    Args:
        weights: a safetensors file written by `detect-train export`; a bare name is one of the shipped files.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default what is fastest, see `find_precision`.
        batch_size: regions that pass through the network at once; by default what suits the device.
        refine: whether to refine boxes, if the network can.

    Attributes:
        precision: of the network.
        refines: whether it does.
        uses_kernels: whether `classifier.warp.triton_kernels` is to prepare what it reads.
        reads_packed: whether it reads images as `classifier.layers.gpu.packed_input` packs them.
        reads_bytes: how it makes bytes of what it reads, and so may read those; None if it does not.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `batch_size` is not positive.
    """

    def __init__(
        self,
        weights: str,
        *,
        device: str | None,
        precision: Precision | None,
        batch_size: int | None,
        refine: bool = True,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.path = find_weights(weights)
        network, self.description = load_region_network(self.path)
        if not self.description.background:
            raise InputError(
                f"{self.path}: expected a network that was trained on regions, got one for whole images only"
            )
        self.crop = Crop(self.description.input_size, self.description.context)
        self.refines = refine and self.description.box_regression
        self.device = find_device(device)
        with naming_failed_device(self.device):
            self.engine = find_engine(self.device)
            quantisable = self.engine == "eager" and network.can_quantise
            self.precision = find_precision(precision, self.device, can_quantise=quantisable, source=self.path)
            self.dtype = number_type(self.precision)
            self.network: Any = prepare(network, self.engine, self.device, self.precision)
        self.batch_size = batch_size or default_batch_size(self.device, self.precision, self.crop.size)
        self.uses_kernels = self.engine == "fused" and self.device.type == "cuda"
        self.graphs = BatchGraphs() if self.uses_kernels else None
        self.reads_packed = reads_packed(self.network)
        self.reads_bytes = first_quantised(self.network)

    @torch.inference_mode()
    def inputs(self, regions: Tensor) -> Tensor:
        """What the network reads of warped regions [N, 3, S, S], in its own numbers, and packed if it reads that."""
        inputs = (regions * SCALE).to(self.dtype)
        if self.reads_packed:
            return pack(inputs)
        return inputs.contiguous(
            memory_format=torch.contiguous_format if self.engine == "plain" else torch.channels_last
        )

    def outputs(self, regions: Tensor, *, mirrored: bool = False) -> RegionOutputs:
        """What the network says of warped regions [N, 3, S, S], or of their mirror images, in float32.

        Deltas are those of the regions in either case.
        """
        return self.outputs_of(regions, prepared=False, mirrored=mirrored)

    @torch.inference_mode()
    def outputs_of(self, regions: Tensor, *, prepared: bool, mirrored: bool = False) -> RegionOutputs:
        """The same of regions that `inputs` may have prepared, since several networks read them."""
        function = self._mirrored if mirrored else self.network
        batches = self._in_batches("mirrored" if mirrored else "outputs", function, regions, prepared=prepared)
        logits = torch.cat([batch.logits for batch in batches]).float()
        if not self.refines:
            return RegionOutputs(logits, None)
        deltas = torch.cat([batch.deltas for batch in batches]).float()
        return RegionOutputs(logits, mirror_deltas(deltas) if mirrored else deltas)

    @torch.inference_mode()
    def features(self, regions: Tensor) -> Tensor:
        """What the heads read of warped regions [N, 3, S, S]: float32 [N, F]."""
        return torch.cat(self._in_batches("features", self.network.features, regions, prepared=False)).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of logits [N, C + 1], or margins [N, C], as `outputs` gives them: [N, C + 1], column 0 is background."""
        return svm_probabilities(logits) if self.description.head == "svm" else logits.softmax(dim=1)

    def _in_batches(
        self, name: str, function: Callable[[Tensor], Output], regions: Tensor, *, prepared: bool
    ) -> list[Output]:
        """What `function` gives for one batch after the other; an empty one where there are no regions."""
        found: list[Output] = []
        start = 0
        while not found or start < len(regions):
            size = self._next_size(len(regions) - start)
            batch = regions[start : start + size]
            try:
                found.append(self._compute(name, function, batch if prepared else self.inputs(batch), size))
            except RuntimeError as error:
                if not is_out_of_memory(error) or size <= 1:
                    raise
                self.batch_size = size // 2
                if self.graphs is not None:
                    self.graphs.clear()
                continue
            start += len(batch)
        return found

    def _next_size(self, remaining: int) -> int:
        """The size of the next batch, which may be more than the `remaining` regions."""
        if self.graphs is not None:
            return next_size(remaining, self.batch_size)
        step = INT8_STEP if self.precision == "int8" else 1
        return min(self.batch_size, -(-remaining // step) * step)

    def _compute(self, name: str, function: Callable[[Tensor], Output], inputs: Tensor, size: int) -> Output:
        if not len(inputs):
            return function(inputs)  # of no regions nothing is launched
        if self.graphs is None:
            return function(inputs) if len(inputs) == size else compute_padded(function, inputs, size)
        with torch.cuda.device(self.device):  # where Triton launches
            return self.graphs(name, function, inputs, size)

    def _mirrored(self, inputs: Tensor) -> RegionOutputs:
        if self.reads_packed:
            mirrored = pack(unpack(inputs, height=self.crop.size, width=self.crop.size).flip(3))
        else:
            mirrored = inputs.flip(3)
        outputs: RegionOutputs = self.network(mirrored)
        return outputs


def default_batch_size(device: torch.device, precision: Precision, size: int) -> int:
    """Regions of `size` pixels that pass through a network at once unless the user says otherwise."""
    if device.type == "cpu":
        return max(INT8_LEAST_BATCH_SIZE, INT8_BATCH_PIXELS // size**2) if precision == "int8" else BATCH_SIZE
    return max(BATCH_SIZE, GPU_BATCH_PIXELS // size**2)


def svm_probabilities(margins: Tensor) -> Tensor:
    """Scores of SVMs within 0-1: [N, C] -> [N, C + 1].

    The logistic function keeps the order of R-CNN's margins, within a class and between classes, so suppression and
    ranking are R-CNN's; 0.5 is the decision of the SVM. It is no calibrated probability. Column 0, background, is what
    the best class leaves of 1.
    """
    foreground = margins.sigmoid()
    return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)
