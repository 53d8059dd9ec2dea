"""`LoadedNetwork`: a network of a weights file on a device, which scores regions batch by batch.

`InputFormat` says how a network wants its input, so that networks that want the same can share it. How a network is
changed to compute faster is in `classifier.scoring.execution`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from classifier.layers.gpu.packed_input import PackedConvolution, pack, unpack
from classifier.layers.pixel_scale import PixelScale
from classifier.region_network import RegionOutputs, mirror_deltas
from classifier.scoring.cuda_graphs import BatchGraphs, next_size
from classifier.scoring.execution import find_execution, prepare
from classifier.scoring.onnx_network import load_onnx_network
from classifier.scoring.weights_file import find_weights, load_region_network
from classifier.warp.crop import ImageRegions, warp_regions, warp_to_bytes
from detection.errors import InputError
from detection.runtime.device import (
    Precision,
    find_device,
    find_onnx_device,
    find_precision,
    is_out_of_memory,
    naming_failed_device,
    number_type,
)
from detection.runtime.int8 import QuantisedInput
from detection.runtime.pixels import SCALE
from detection.runtime.portable import Portable
from detection.runtime.weights_files.onnx_file import SUFFIX as ONNX_SUFFIX

Output = TypeVar("Output")

BATCH_SIZE = 64
"""Regions in a batch on a CPU, where larger batches are slower."""

INT8_BATCH_PIXELS = 128 * 64 * 64
"""Pixels in a batch on a CPU in int8, which needs less memory: 128 regions of 64 pixels, or 227 of 48."""

INT8_LEAST_BATCH_SIZE = 32
"""Regions in a batch in int8 if the regions are large."""

INT8_STEP = 16
"""Batches in int8 are padded to a multiple of this number of regions. oneDNN prepares all convolutions anew for each
size of batch, which takes as long as a dozen regions, and it keeps what it prepared for about twenty sizes only."""

GPU_BATCH_PIXELS = 704 * 224 * 224
"""Pixels in a batch on a GPU: 704 regions of 224 pixels, or 8,624 of 64. Two batches of 704 hold the regions that
selective search proposes for a photo."""


@dataclass(frozen=True)
class InputFormat:
    """The format in which a network reads its input. Networks of equal formats read the same tensors.

    Attributes:
        size: side S of the input, in pixels.
        context: pixels of the input on each side that show the surroundings of a region.
        dtype: the floating-point type of the network.
        channels_last: True if the memory format is channels_last.
        packed: True if blocks of 2x2 pixels are packed into channels; see `classifier.layers.gpu.packed_input`.
        by_kernel: True if a Triton kernel warps regions into this format.
        quantisation: the scale, in pixel values of 0-255, and the zero point with which the network makes bytes of its
            input; None if it does not compute in int8. Such a network reads bytes, too.
    """

    size: int
    context: int
    dtype: torch.dtype
    channels_last: bool
    packed: bool
    by_kernel: bool
    quantisation: tuple[float, int] | None

    @torch.inference_mode()
    def warp(self, group: Sequence[ImageRegions]) -> Tensor:
        """Warp the regions of several images into this format: N regions in the order of the group."""
        if self.by_kernel:
            from classifier.warp.triton_kernels import warp_inputs  # noqa: PLC0415  Triton is only where there are GPUs

            with torch.cuda.device(group[0].pixels.device):
                return warp_inputs(group, size=self.size, context=self.context, dtype=self.dtype, packed=self.packed)
        warped = [self._warp_image(regions.pixels, torch.from_numpy(regions.windows)) for regions in group]
        joined = warped[0] if len(warped) == 1 else torch.cat(warped)
        return joined if self.quantisation is not None else self.convert(joined)

    def _warp_image(self, pixels: Tensor, windows: Tensor) -> Tensor:
        """Regions of one image, as bytes or as RGB minus mean."""
        if self.quantisation is None:
            return warp_regions(pixels[None], windows[None], size=self.size, context=self.context)[0]
        scale, zero = self.quantisation
        return warp_to_bytes(pixels, windows, size=self.size, context=self.context, scale=scale, zero=zero)

    @torch.inference_mode()
    def convert(self, regions: Tensor) -> Tensor:
        """Convert warped regions [N, 3, S, S], float32 RGB minus mean, to scaled numbers in this format."""
        inputs = (regions * SCALE).to(self.dtype)
        if self.packed:
            return pack(inputs)
        return inputs.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def mirror(self, inputs: Tensor) -> Tensor:
        """Exchange left and right in input of this format."""
        if self.packed:
            return pack(unpack(inputs, height=self.size, width=self.size).flip(3))
        return inputs.flip(3)


class LoadedNetwork(Portable):
    """A network of a weights file, on its device and prepared to compute fast.

    If a batch does not fit into the memory of the device, the batch size is halved for it and for all later batches.

    Args:
        weights: a safetensors file written by `detect-train export`, or the bare name of a shipped one; or an ONNX file
            written by `detect-export`, which is computed on the CPU by ONNX Runtime.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number format of the network; None is the fastest one, see `find_precision`.
        batch_size: regions that pass through the network at once; None is a size that suits the device.
        refine: refine boxes, if the network can.

    Attributes:
        path: the weights file.
        description: the description in the weights file.
        precision: the number format that is used.
        refines: True if `outputs` holds deltas.
        input_format: how the network wants its input.
        step: batches on a CPU are padded to a multiple of this number of regions.

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
        self.graphs: BatchGraphs | None = None
        if self.path.suffix == ONNX_SUFFIX:
            self._load_onnx(device, precision)
        else:
            self._load_tensors(device, precision)
        self.refines = refine and self.description.box_regression
        self.batch_size = batch_size or default_batch_size(self.device, self.precision, self.input_format.size)

    def _load_tensors(self, device: str | None, precision: Precision | None) -> None:
        network, self.description = load_region_network(self.path)
        self._require_regions()
        self.device = find_device(device)
        with naming_failed_device(self.device):
            execution = find_execution(self.device)
            quantisable = execution == "eager" and network.can_quantise
            self.precision = find_precision(precision, self.device, can_quantise=quantisable, source=self.path)
            self.network: Any = prepare(network, execution, self.device, self.precision)
        by_kernel = execution == "fused" and self.device.type == "cuda"
        self.input_format = InputFormat(
            size=self.description.input_size,
            context=self.description.context,
            dtype=number_type(self.precision),
            channels_last=execution != "plain",
            packed=any(isinstance(module, PackedConvolution) for module in network.modules()),
            by_kernel=by_kernel,
            quantisation=find_quantisation(self.network),
        )
        self.step = INT8_STEP if self.precision == "int8" else 1
        self.graphs = BatchGraphs() if by_kernel else None

    def _load_onnx(self, device: str | None, precision: Precision | None) -> None:
        self.network, self.description = load_onnx_network(self.path)
        self._require_regions()
        read = self.network.read
        self.device = find_onnx_device(device, precision, stored=read.precision, source=self.path)
        self.precision = read.precision
        self.input_format = InputFormat(
            size=self.description.input_size,
            context=self.description.context,
            dtype=torch.float32,
            channels_last=False,
            packed=False,
            by_kernel=False,
            quantisation=read.quantisation,
        )
        self.step = 1

    def _require_regions(self) -> None:
        if not self.description.background:
            raise InputError(
                f"{self.path}: expected a network that was trained on regions, got one for whole images only"
            )

    @torch.inference_mode()
    def outputs(self, inputs: Tensor, *, mirrored: bool = False) -> RegionOutputs:
        """Outputs in float32 for N regions in the `input_format`, or for their mirror images.

        The deltas of mirror images are converted to those of the regions.
        """
        function = self._mirrored if mirrored else self.network
        batches = self._in_batches("mirrored" if mirrored else "outputs", function, inputs)
        logits = torch.cat([batch.logits for batch in batches]).float()
        if not self.refines:
            return RegionOutputs(logits, None)
        deltas = torch.cat([batch.deltas for batch in batches]).float()
        return RegionOutputs(logits, mirror_deltas(deltas) if mirrored else deltas)

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """Features [N, F] in float32, which the last layers read, of N regions in the `input_format`."""
        return torch.cat(self._in_batches("features", self.network.features, inputs)).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities [N, C + 1] from logits [N, C + 1] or margins [N, C]; column 0 is background."""
        return svm_probabilities(logits) if self.description.head == "svm" else logits.softmax(dim=1)

    def _mirrored(self, inputs: Tensor) -> RegionOutputs:
        return cast(RegionOutputs, self.network(self.input_format.mirror(inputs)))

    def _in_batches(self, name: str, function: Callable[[Tensor], Output], inputs: Tensor) -> list[Output]:
        """Outputs of `function` batch by batch; those of one empty batch if there are no regions."""
        outputs: list[Output] = []
        start = 0
        while not outputs or start < len(inputs):
            size = self._next_size(len(inputs) - start)
            batch = inputs[start : start + size]
            try:
                outputs.append(self._compute(name, function, batch, size))
            except RuntimeError as error:
                if not is_out_of_memory(error) or size <= 1:
                    raise
                self.batch_size = size // 2
                if self.graphs is not None:
                    self.graphs.clear()
                continue
            start += len(batch)
        return outputs

    def _next_size(self, remaining: int) -> int:
        """The size of the next batch, which may be more than the `remaining` regions."""
        if self.graphs is not None:
            return next_size(remaining, self.batch_size)
        return min(self.batch_size, -(-remaining // self.step) * self.step)

    def _compute(self, name: str, function: Callable[[Tensor], Output], batch: Tensor, size: int) -> Output:
        """Outputs of `function` for a batch that is padded with zeros to `size` regions."""
        if not len(batch):
            return function(batch)  # a GPU launches nothing for no regions, and no graph is needed
        if len(batch) < size:
            padded = functional.pad(batch, (0, 0) * 3 + (0, size - len(batch)))
            outputs = self._compute(name, function, padded.contiguous(memory_format=torch.channels_last), size)
            return tree_map_only(Tensor, lambda rows: rows[: len(batch)], outputs)  # type: ignore[no-any-return]
        if self.graphs is None:
            return function(batch)
        with torch.cuda.device(self.device):  # the device on which Triton launches its kernels
            return self.graphs(name, function, batch)


def find_quantisation(network: nn.Module) -> tuple[float, int] | None:
    """Scale in pixel values and zero point with which a network quantises the pixels, or None if it does not."""
    modules = list(network.modules())
    read = next((module for module in modules if isinstance(module, QuantisedInput)), None)
    # A network that scales pixels by itself quantises them after that, so it cannot be given bytes.
    if read is None or any(isinstance(module, PixelScale) for module in modules):
        return None
    return read.scale / SCALE, read.zero


def default_batch_size(device: torch.device, precision: Precision, size: int) -> int:
    """Number of regions of `size` pixels that pass through a network at once by default."""
    if device.type == "cpu":
        return max(INT8_LEAST_BATCH_SIZE, INT8_BATCH_PIXELS // size**2) if precision == "int8" else BATCH_SIZE
    return max(BATCH_SIZE, GPU_BATCH_PIXELS // size**2)


def svm_probabilities(margins: Tensor) -> Tensor:
    """Map margins of SVMs to numbers within 0-1: [N, C] -> [N, C + 1].

    The logistic function keeps the order of R-CNN's margins, within a class and between classes, so suppression and
    ranking are R-CNN's. 0.5 is the decision of the SVM; the numbers are no calibrated probabilities. Column 0,
    background, is 1 minus the largest of the others.
    """
    foreground = margins.sigmoid()
    return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)
