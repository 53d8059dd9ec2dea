"""`LoadedNetwork`: a network of a weights file on a device, which scores regions batch by batch.

The networks of safetensors files are loaded by `classifier.scoring.tensor_network`, and those of ONNX files by
`classifier.scoring.onnx_network`, which needs no PyTorch. The batches are tensors or NumPy arrays accordingly.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from classifier.box_deltas import RegionOutputs, mirror_deltas
from classifier.scoring.description import find_weights
from classifier.scoring.onnx_network import load_onnx_network
from classifier.scoring.prepared_network import PreparedNetwork
from detection.errors import InputError, is_out_of_memory
from detection.runtime.parallel.threads import map_on_cores
from detection.runtime.portable import Portable
from detection.runtime.weights_files.engine import Cpu, Precision, load_by_engine
from detection.structures.arrays import AnyArray, namespace

if TYPE_CHECKING:
    from classifier.scoring.execution import Execution

BATCH_SIZE = 64
"""The most regions in a batch on a CPU in float32, where larger batches are slower; the least number on a GPU."""

CPU_BATCH_PIXELS = 32 * 112 * 112
"""The most pixels in a batch on a CPU: 32 regions of 112x112 pixels, or 8 of 224x224. The last batch is padded, and
small batches need little padding."""

CPU_BATCHES = 4
"""On a CPU, the regions of a call are divided into about this many batches or more, which are computed at once."""

CPU_LEAST_BATCH = 16
"""The least number of regions in each of these batches."""

GPU_BATCH_PIXELS = 704 * 224 * 224
"""The pixels in a batch on a GPU: 704 regions of 224x224 pixels, or 8,624 of 64x64. Two batches of 704 hold the regions
that selective search proposes for a photo."""


class LoadedNetwork(Portable):
    """A network of a weights file, on its device and prepared to compute fast.

    If a batch does not fit into the memory of the device, the batch size is halved for it and for all later batches.

    Args:
        weights: a safetensors file written by `detect-train export`, or the bare name of a shipped one; or an ONNX file
            written by `detect-export`, which is computed on the CPU by ONNX Runtime. On a CPU, the ONNX file beside a
            safetensors file takes its place, see `load_by_engine`.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number format of the network; None is the fastest one, see `find_precision`.
        batch_size: regions that pass through the network at once; None is a size that suits the device.
        refine: refine boxes, if the network can.
        tensors: compute with PyTorch also on a CPU, where ONNX Runtime may compute otherwise.
        execution: how PyTorch computes, for tests and benchmarks, which implies `tensors`; None is the fastest way.

    Attributes:
        path: the weights file.
        description: the description in the weights file.
        precision: the number format that is used.
        refines: True if `outputs` returns deltas.
        input_format: the format of the network's input.
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
        tensors: bool = False,
        execution: "Execution | None" = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.path = find_weights(weights)
        load = partial(_load_tensors, execution=execution) if tensors or execution else _load
        prepared = load(self.path, device, precision)
        if not prepared.description.background:
            raise InputError(
                f"{self.path}: expected a network that was trained on regions, got one for whole images only"
            )
        self.network, self.description = prepared.network, prepared.description
        self.device, self.precision = prepared.device, prepared.precision
        self.input_format, self.step, self.graphs = prepared.input_format, prepared.step, prepared.graphs
        self._session, self._compute = prepared.session, prepared.compute
        self.refines = refine and self.description.box_regression
        self.batch_size = batch_size or default_batch_size(self.device, self.precision, self.input_format.size)

    def session(self) -> AbstractContextManager[None]:
        """Return a context in which networks may be computed; an error of memory or of the device names the device."""
        return self._session(self.device)

    def use_tensors(self) -> None:
        """Read and return tensors from now on, also if the network is that of an ONNX file."""
        if isinstance(self.device, Cpu):
            import torch  # noqa: PLC0415

            from classifier.scoring.tensor_network import format_for_tensors, tensor_session  # noqa: PLC0415

            self.device, self._session = torch.device("cpu"), tensor_session
            self.input_format = format_for_tensors(self.input_format)

    def outputs(self, inputs: AnyArray, *, mirrored: bool = False) -> RegionOutputs:
        """Return the outputs in float32 for N regions in the `input_format`, or for their mirror images.

        The deltas of mirror images are converted to those of the regions.
        """
        function = self._mirrored if mirrored else self.network
        batches = self._in_batches("mirrored" if mirrored else "outputs", function, inputs)
        logits = _join([batch.logits for batch in batches])
        if not self.refines:
            return RegionOutputs(logits, None)
        deltas = _join([batch.deltas for batch in batches])
        return RegionOutputs(logits, mirror_deltas(deltas) if mirrored else deltas)

    def features(self, inputs: AnyArray) -> AnyArray:
        """Return the features [N, F] in float32 that the class layer reads, for N regions in the `input_format`."""
        return _join(self._in_batches("features", self.network.class_features, inputs))

    def last_maps(self, inputs: AnyArray) -> AnyArray:
        """Return the last feature maps [N, C, H, W] in float32, for N regions in the `input_format`.

        Only a network that PyTorch computes has them; see `RegionNetwork.last_map`.
        """
        return _join(self._in_batches("last_maps", self.network.last_map, inputs))

    def probabilities(self, logits: AnyArray) -> AnyArray:
        """Return the probabilities [N, C + 1] for logits [N, C + 1] or margins [N, C]; column 0 is background."""
        return svm_probabilities(logits) if self.description.head == "svm" else softmax(logits)

    def _mirrored(self, inputs: AnyArray) -> RegionOutputs:
        return cast(RegionOutputs, self.network(self.input_format.mirror(inputs)))

    def _in_batches(self, name: str, function: Callable[[AnyArray], Any], inputs: AnyArray) -> list[Any]:
        """Return the outputs of `function` for each batch. Without regions there is one empty batch.

        On a CPU several batches are computed at once. Their sizes do not depend on the number of threads.
        """
        size = self._part_size(len(inputs))
        parts = [inputs[start : start + size] for start in range(0, max(1, len(inputs)), size)]
        return [output for part in map_on_cores(partial(self._in_turn, name, function), parts) for output in part]

    def _in_turn(self, name: str, function: Callable[[AnyArray], Any], inputs: AnyArray) -> list[Any]:
        """Return the outputs of `function`, computed for one batch after the other, at least for one."""
        outputs: list[Any] = []
        start = 0
        while not outputs or start < len(inputs):
            size = self._next_size(len(inputs) - start)
            batch = inputs[start : start + size]
            try:
                outputs.append(self._compute(name, function, batch, size, self.graphs))
            except RuntimeError as error:
                if not is_out_of_memory(error) or size <= 1:
                    raise
                self.batch_size = min(self.batch_size, size // 2)
                if self.graphs is not None:
                    self.graphs.clear()
                continue
            start += len(batch)
        return outputs

    def _part_size(self, count: int) -> int:
        """Return the size of the parts of `count` regions: a part is a batch on a CPU, and all regions on a GPU."""
        if self.device.type != "cpu":
            return max(1, count)
        steps = max(1, -(-count // (CPU_BATCHES * CPU_LEAST_BATCH)))
        return min(self.batch_size, steps * CPU_LEAST_BATCH)

    def _next_size(self, remaining: int) -> int:
        """Return the size of the next batch, which may be more than the `remaining` regions."""
        if self.graphs is not None:
            return self.graphs.next_size(remaining, self.batch_size)
        return min(self.batch_size, -(-remaining // self.step) * self.step)


def _load(path: Path, device: str | None, precision: Precision | None) -> PreparedNetwork:
    """Load a network with the engine that suits the machine."""
    return load_by_engine(path, device, precision, onnx=load_onnx_network, tensors=_load_tensors)


def _load_tensors(
    path: Path, device: str | None, precision: Precision | None, execution: "Execution | None" = None
) -> PreparedNetwork:
    """Load a network with PyTorch."""
    from classifier.scoring.tensor_network import load_tensors  # noqa: PLC0415  imports PyTorch

    return load_tensors(path, device, precision, execution)


def default_batch_size(device: Any, precision: Precision, size: int) -> int:
    """Return the number of regions of `size` pixels that pass through a network at once by default."""
    if device.type == "cpu":
        fitting = max(1, CPU_BATCH_PIXELS // size**2)
        return fitting if precision == "int8" else min(fitting, BATCH_SIZE)
    return max(BATCH_SIZE, GPU_BATCH_PIXELS // size**2)


def softmax(logits: AnyArray) -> AnyArray:
    """Return the probabilities [N, C] for logits [N, C]."""
    if not isinstance(logits, np.ndarray):
        return logits.softmax(dim=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def svm_probabilities(margins: AnyArray) -> AnyArray:
    """Map margins of SVMs to numbers within 0-1: [N, C] -> [N, C + 1].

    The logistic function keeps the order of R-CNN's margins, within a class and between classes, so suppression and
    ranking are R-CNN's. 0.5 is the decision of the SVM; the numbers are no calibrated probabilities. Column 0,
    background, is 1 minus the largest of the others.
    """
    arrays = namespace(margins)
    if isinstance(margins, np.ndarray):
        with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, as it should be
            foreground = 1 / (1 + np.exp(-margins))
    else:
        foreground = margins.sigmoid()
    background = 1 - arrays.amax(foreground, axis=1, keepdims=True)
    return arrays.concatenate([background, foreground], 1)


def _join(parts: Sequence[AnyArray]) -> AnyArray:
    """Return the parts [n, ...] as one array, one after the other, in float32."""
    joined = namespace(parts[0]).concatenate(parts)
    return joined if isinstance(joined, np.ndarray) else joined.float()
