"""A region network of an ONNX file, which takes the place of a `RegionNetwork` where regions are scored."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifier.region_network import RegionOutputs
from classifier.scoring.weights_file import METADATA_KEY, NetworkDescription
from detection.errors import InputError
from detection.runtime.weights_files.onnx_file import Interface, OnnxInput, OnnxNetwork, read_onnx

Loaded = tuple["OnnxRegionNetwork", NetworkDescription]


class OnnxRegionNetwork:
    """A network that ONNX Runtime computes: images [B, 3, S, S] -> `RegionOutputs`.

    Args:
        network: a network with the outputs "logits" and, if it refines boxes, "deltas".
        path: its file, which errors name.
        read: how it reads images.
    """

    def __init__(self, network: OnnxNetwork, path: Path, read: OnnxInput) -> None:
        self.network = network
        self.path = path
        self.read = read

    def __call__(self, images: Tensor) -> RegionOutputs:
        logits, *deltas = self.network.run(images.numpy(), threads=torch.get_num_threads())
        return RegionOutputs(torch.from_numpy(logits), torch.from_numpy(deltas[0]) if deltas else None)

    def features(self, images: Tensor) -> Tensor:  # noqa: ARG002  as `RegionNetwork.features` has it
        """Refuse to return features, which the file does not hold.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.path}: expected the safetensors file of this network, because an ONNX file has no features"
        )


def load_onnx_network(path: Path) -> Loaded:
    """Load the network of an ONNX file, and its description.

    Raises:
        InputError: naming the file, if it is missing, broken, unsupported, or no file of a region classifier.
    """

    def build(fields: dict[str, Any], read: OnnxInput, network: OnnxNetwork) -> Loaded:
        description = NetworkDescription.from_fields(fields)
        network.require(_interface(description, read))
        return OnnxRegionNetwork(network, path, read), description

    return read_onnx(path, build, key=METADATA_KEY, content="a region classifier", threads=torch.get_num_threads())


def _interface(description: NetworkDescription, read: OnnxInput) -> Interface:
    """Return what a network with this description reads and returns."""
    side = description.input_size
    outputs: dict[str, tuple[int | None, ...]] = {"logits": (None, description.num_outputs)}
    if description.box_regression:
        outputs["deltas"] = (None, len(description.class_names), 4)
    return Interface("float32" if read.quantisation is None else "uint8", (None, 3, side, side), outputs)
