"""Loads the network of a weights file for PyTorch, which computes it on a CPU or a GPU, and feeds it with tensors.

`TensorFormat` is the format of its input. How a network is changed to compute faster is in
`classifier.scoring.execution`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from classifier.layers.gpu.packed_input import PackedConvolution, pack, unpack
from classifier.layers.pixel_scale import PixelScale
from classifier.scoring.cuda_graphs import BatchGraphs
from classifier.scoring.execution import Execution, find_execution, prepare
from classifier.scoring.input_format import InputFormat
from classifier.scoring.prepared_network import PreparedNetwork
from classifier.scoring.weights_file import load_region_network
from classifier.warp.crop import ImageRegions, warp_regions
from detection.runtime.device import find_device, find_precision, naming_failed_device, number_type
from detection.runtime.int8 import QuantisedInput
from detection.runtime.pixels import SCALE
from detection.runtime.weights_files.engine import Precision

Output = TypeVar("Output")

INT8_STEP = 16
"""Batches in int8 are padded to a multiple of this number of regions. oneDNN prepares all convolutions anew for each
size of batch, which takes as long as a dozen regions, and it keeps what it prepared for about twenty sizes only."""


@dataclass(frozen=True)
class TensorFormat(InputFormat):
    """An `InputFormat` of tensors.

    Attributes:
        dtype: the floating-point type of the network.
        channels_last: True if the memory format is channels_last.
        packed: True if blocks of 2x2 pixels are packed into channels; see `classifier.layers.gpu.packed_input`.
        by_kernel: True if a Triton kernel warps regions into this format.
    """

    dtype: torch.dtype
    channels_last: bool
    packed: bool
    by_kernel: bool

    @torch.inference_mode()
    def warp(self, group: Sequence[ImageRegions]) -> Tensor:
        """Warp the regions of several images into this format: N regions in the order of the group."""
        if self.by_kernel:
            from classifier.warp.triton_kernels import warp_inputs  # noqa: PLC0415  Triton is only where there are GPUs

            with torch.cuda.device(group[0].pixels.device):
                return warp_inputs(group, size=self.size, context=self.context, dtype=self.dtype, packed=self.packed)
        warped: Tensor = super().warp(group)
        return warped

    def _warp_image(self, regions: ImageRegions) -> Tensor:
        if isinstance(regions.pixels, np.ndarray):
            return torch.from_numpy(super()._warp_image(regions))
        windows = torch.from_numpy(regions.windows)
        return warp_regions(regions.pixels[None], windows[None], size=self.size, context=self.context)[0]

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


def load_tensors(
    path: Path, device_name: str | None, precision_name: Precision | None, execution: Execution | None = None
) -> PreparedNetwork:
    """Return the network of a safetensors file, on its device and prepared for an execution, by default a fast one.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
    """
    network, description = load_region_network(path)
    device = find_device(device_name)
    with naming_failed_device(device):
        execution = execution or find_execution(device)
        quantisable = execution == "eager" and network.can_quantise
        precision = find_precision(precision_name, device, can_quantise=quantisable, source=path)
        prepared: Any = prepare(network, execution, device, precision)
    by_kernel = execution == "fused" and device.type == "cuda"
    input_format = TensorFormat(
        size=description.input_size,
        context=description.context,
        dtype=number_type(precision),
        channels_last=execution != "plain",
        packed=any(isinstance(module, PackedConvolution) for module in network.modules()),
        by_kernel=by_kernel,
        quantisation=find_quantisation(prepared),
    )
    return PreparedNetwork(
        network=prepared,
        description=description,
        device=device,
        precision=precision,
        input_format=input_format,
        session=tensor_session,
        compute=compute_tensors,
        step=INT8_STEP if precision == "int8" else 1,
        graphs=BatchGraphs() if by_kernel else None,
    )


def format_for_tensors(input_format: InputFormat) -> TensorFormat:
    """Return the format of a network of an ONNX file, for tensors on a CPU."""
    return TensorFormat(
        size=input_format.size,
        context=input_format.context,
        dtype=torch.float32,
        channels_last=False,
        packed=False,
        by_kernel=False,
        quantisation=input_format.quantisation,
    )


@contextmanager
def tensor_session(device: torch.device) -> Iterator[None]:
    """Let networks be computed within this context, without gradients and in a fork too; errors name the device."""
    with naming_failed_device(device), torch.inference_mode():
        yield


@torch.inference_mode()
def compute_tensors(
    name: str, function: Callable[[Tensor], Output], batch: Tensor, size: int, graphs: BatchGraphs | None
) -> Output:
    """Return the outputs of `function`, known by `name`, for a batch that is padded with zeros to `size` regions."""
    if not len(batch):
        return function(batch)  # without regions a GPU has nothing to launch, and needs no graph
    if len(batch) < size:
        padded = functional.pad(batch, (0, 0) * 3 + (0, size - len(batch)))
        outputs = compute_tensors(name, function, padded.contiguous(memory_format=torch.channels_last), size, graphs)
        return tree_map_only(Tensor, lambda rows: rows[: len(batch)], outputs)  # type: ignore[no-any-return]
    if graphs is None:
        return function(batch)
    with torch.cuda.device(batch.device):  # the device on which Triton launches its kernels
        return graphs(name, function, batch)


def find_quantisation(network: nn.Module) -> tuple[float, int] | None:
    """Return the scale, in pixel values, and the zero point of the quantisation of pixels; None if there is none."""
    modules = list(network.modules())
    quantised_input = next((module for module in modules if isinstance(module, QuantisedInput)), None)
    # A network that scales pixels by itself quantises them after that, so it cannot be given bytes.
    if quantised_input is None or any(isinstance(module, PixelScale) for module in modules):
        return None
    return quantised_input.scale / SCALE, quantised_input.zero
