"""MultiBox of an ONNX file, which ONNX Runtime computes on the CPU; PyTorch is not needed for it."""

from pathlib import Path
from typing import Any

import numpy as np

from detection.runtime.parallel.threads import thread_count
from detection.runtime.pixels import MEAN_RGB, SCALE
from detection.runtime.weights_files.engine import Precision, find_onnx_device, naming_full_memory
from detection.runtime.weights_files.onnx_file import Interface, OnnxInput, OnnxNetwork, read_onnx
from detection.structures.arrays import FloatArray, Image
from proposals.multibox.description import METADATA_KEY, MultiBoxDescription

Loaded = tuple[OnnxNetwork, OnnxInput, MultiBoxDescription]


class OnnxMultiBox:
    """MultiBox, computed by ONNX Runtime; `TensorMultiBox` is the same for PyTorch.

    Args:
        path: an ONNX file written by `detect-export`.
        device: "cpu" or None.
        precision: the number type of the file, or None.
        in_place_of: the safetensors file in whose place the file is read; None if the user named the ONNX file.

    Attributes:
        description: the description in the file.
        device: the CPU.
        precision: the number type in which convolutions are computed.
        network: a network with the outputs "boxes" and "confidences".
        input_size: the side of its input in pixels; None if any side will do.

    Raises:
        InputError: naming the file, if it is missing, broken, unsupported, or not of MultiBox; or if the user chose
            another device than the CPU, or another precision than that of the file.
    """

    def __init__(
        self, path: Path, device: str | None, precision: Precision | None, in_place_of: Path | None = None
    ) -> None:
        self.network, onnx_input, self.description = read_onnx(
            path, _build, key=METADATA_KEY, content="MultiBox", threads=thread_count(), in_place_of=in_place_of
        )
        self.precision: Precision = onnx_input.precision
        self.device = find_onnx_device(device, precision, stored=self.precision, source=path)
        self.input_size = self.network.interface.input_shape[2]

    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Return the boxes [K, 4] and confidences [K] of `MultiBox.predictions` for an image [S, S, 3]."""
        images = (image.astype(np.float32) - np.array(MEAN_RGB, np.float32)).transpose(2, 0, 1)[None] * np.float32(
            SCALE
        )
        with naming_full_memory(self.device):
            boxes, confidences = self.network.run(images, threads=thread_count())
        return boxes[0], confidences[0]


def _build(fields: dict[str, Any], onnx_input: OnnxInput, network: OnnxNetwork) -> Loaded:
    description = MultiBoxDescription(**fields)
    outputs = {"boxes": (None, description.priors, 4), "confidences": (None, description.priors)}
    network.require(Interface("float32", (None, 3, None, None), outputs))
    return network, onnx_input, description
