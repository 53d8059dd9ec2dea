"""Loads a region network of an ONNX file, which takes the place of a `RegionNetwork` where regions are scored.

PyTorch is not needed for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classifier.box_deltas import RegionOutputs
from classifier.scoring.description import METADATA_KEY, NetworkDescription
from classifier.scoring.input_format import InputFormat
from classifier.scoring.prepared_network import PreparedNetwork
from detection.errors import InputError
from detection.runtime.parallel.threads import thread_count
from detection.runtime.weights_files.engine import Precision, find_onnx_device, naming_full_memory
from detection.runtime.weights_files.onnx_file import Interface, OnnxInput, OnnxNetwork, read_onnx
from detection.structures.arrays import AnyArray, as_kind_of

Loaded = tuple["OnnxRegionNetwork", NetworkDescription]


class OnnxRegionNetwork:
    """A network that ONNX Runtime computes: images [B, 3, S, S] -> `RegionOutputs`.

    Args:
        network: a network with the outputs "logits" and, if it refines boxes, "deltas".
        path: its file, which errors name.
        onnx_input: the number formats in which it computes and reads images.
    """

    def __init__(self, network: OnnxNetwork, path: Path, onnx_input: OnnxInput) -> None:
        self.network = network
        self.path = path
        self.onnx_input = onnx_input

    def __call__(self, images: AnyArray) -> RegionOutputs:
        outputs = self.network.run(np.asarray(images), threads=thread_count())
        logits, *deltas = [as_kind_of(images, output) for output in outputs]
        return RegionOutputs(logits, deltas[0] if deltas else None)

    def class_features(self, images: AnyArray) -> AnyArray:  # noqa: ARG002  as `RegionNetwork` has it
        """Refuse to return features, which the file does not hold.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.path}: expected the safetensors file of this network, because an ONNX file has no features"
        )


def load_onnx_network(
    path: Path, device_name: str | None, precision: Precision | None, in_place_of: Path | None = None
) -> PreparedNetwork:
    """Load the network of an ONNX file, which the user named, or in the place of a safetensors file.

    Raises:
        InputError: naming the file, if it is missing, broken, unsupported, or no file of a region classifier; or if the
            user chose another device than the CPU, or another precision than that of the file.
    """

    def build(fields: dict[str, Any], onnx_input: OnnxInput, network: OnnxNetwork) -> Loaded:
        description = NetworkDescription.from_fields(fields)
        network.require(_interface(description, onnx_input))
        return OnnxRegionNetwork(network, path, onnx_input), description

    # The batches of a photo are computed at the same time, with one thread each.
    network, description = read_onnx(
        path, build, key=METADATA_KEY, content="a region classifier", threads=1, in_place_of=in_place_of
    )
    onnx_input = network.onnx_input
    return PreparedNetwork(
        network=network,
        description=description,
        device=find_onnx_device(device_name, precision, stored=onnx_input.precision, source=path),
        precision=onnx_input.precision,
        input_format=InputFormat(description.input_size, description.context, onnx_input.quantisation),
        session=naming_full_memory,
        compute=_compute,
    )


def _compute(name: str, function: Callable[[AnyArray], Any], batch: AnyArray, size: int, graphs: None) -> Any:  # noqa: ARG001
    """Return the outputs of `function` for a batch, which needs no padding; see `PreparedNetwork.compute`."""
    return function(batch)


def _interface(description: NetworkDescription, onnx_input: OnnxInput) -> Interface:
    """Return what a network with this description reads and returns."""
    side = description.input_size
    outputs: dict[str, tuple[int | None, ...]] = {"logits": (None, description.num_outputs)}
    if description.box_regression:
        outputs["deltas"] = (None, len(description.class_names), 4)
    return Interface("float32" if onnx_input.quantisation is None else "uint8", (None, 3, side, side), outputs)
