"""MultiBox of an ONNX file, which takes the place of `MultiBox` in the proposer."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detection.runtime.weights_files.onnx_file import Interface, OnnxInput, OnnxNetwork, read_onnx
from proposals.multibox.weights_file import METADATA_KEY, MultiBoxDescription

Loaded = tuple["OnnxMultiBox", MultiBoxDescription]


class OnnxMultiBox:
    """MultiBox, computed by ONNX Runtime.

    Args:
        network: a network with the outputs "boxes" and "confidences".
        read: how it reads images.

    Attributes:
        input_size: the side of its input in pixels; None if any side will do.
    """

    def __init__(self, network: OnnxNetwork, read: OnnxInput) -> None:
        self.network = network
        self.read = read
        self.input_size = network.interface.input_shape[2]

    def propose(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `MultiBox.propose` returns, for zero-mean RGB [B, 3, S, S]."""
        boxes, confidences = self.network.run(images.numpy(), threads=torch.get_num_threads())
        return torch.from_numpy(boxes), torch.from_numpy(confidences)


def load_onnx_multibox(path: Path) -> Loaded:
    """Return the network of an ONNX file, and its description.

    Raises:
        InputError: naming the file, if it is missing, broken, unsupported, or not of MultiBox.
    """
    return read_onnx(path, _build, key=METADATA_KEY, content="MultiBox", threads=torch.get_num_threads())


def _build(fields: dict[str, Any], read: OnnxInput, network: OnnxNetwork) -> Loaded:
    description = MultiBoxDescription(**fields)
    outputs = {"boxes": (None, description.priors, 4), "confidences": (None, description.priors)}
    network.require(Interface("float32", (None, 3, None, None), outputs))
    return OnnxMultiBox(network, read), description
