"""`PreparedNetwork`: a network that PyTorch or ONNX Runtime has loaded, and the functions that compute it there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.scoring.description import NetworkDescription
from classifier.scoring.input_format import InputFormat
from detection.runtime.weights_files.engine import Precision

if TYPE_CHECKING:
    from classifier.scoring.cuda_graphs import BatchGraphs


@dataclass(frozen=True)
class PreparedNetwork:
    """A network on its device, ready to be computed.

    Attributes:
        network: computes `RegionOutputs` from a batch in the `input_format`, and with `class_features` the features
            that the class layer reads.
        description: the description in the weights file.
        device: a `torch.device`, or `Cpu` for an ONNX file.
        precision: the number format that is used.
        input_format: the format of the network's input.
        session: returns a context for a device, in which networks may be computed and errors name the device.
        compute: computes a batch, as `classifier.scoring.tensor_network.compute_tensors` does.
        step: batches on a CPU are padded to a multiple of this number of regions.
        graphs: the CUDA graphs of the network, or None where it is computed without graphs.
    """

    network: Any
    description: NetworkDescription
    device: Any
    precision: Precision
    input_format: InputFormat
    session: Callable[[Any], AbstractContextManager[None]]
    compute: Callable[..., Any]
    step: int = 1
    graphs: BatchGraphs | None = None
