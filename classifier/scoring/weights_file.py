"""Weights files of classifiers: a safetensors file whose metadata describes how to rebuild the network."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from classifier.region_network import RegionNetwork
from classifier.scoring.description import METADATA_KEY, NetworkDescription
from detection.runtime.weights_files.tensor_file import Storage, WithoutInitialisation, read_tensors, write_tensors

TRUNK_PREFIX = "trunk."
BOX_PREFIXES = ("box_head.", "box_grid.")


def save_weights(
    path: Path, network: nn.Module, description: NetworkDescription, *, stored_as: Storage = "float16"
) -> None:
    """Write the parameters and buffers of a network as float16, or the weights of its layers as int8, atomically.

    The tensors of the trunk of a `RegionNetwork` are stored under the names that they have in the trunk.

    Raises:
        InputError: naming the file, if it cannot be written; an earlier file of the same name is kept in that case.
    """
    tensors = {name.removeprefix(TRUNK_PREFIX): value for name, value in network.state_dict().items()}
    write_tensors(path, tensors, key=METADATA_KEY, description=asdict(description), stored_as=stored_as)


def load_weights(path: Path) -> tuple[nn.Module, NetworkDescription]:
    """Load the trunk of a weights file, which includes the class layer, and its description."""
    network, description = load_region_network(path)
    return network.trunk, description


def load_region_network(path: Path) -> tuple[RegionNetwork, NetworkDescription]:
    """Load the network of a weights file with all its layers, in float32 and evaluation mode, and its description.

    Raises:
        InputError: naming the file, if it is missing, broken, or no weights file of a classifier.
    """
    return read_tensors(path, _build, key=METADATA_KEY, content="a region classifier")


def _build(fields: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[RegionNetwork, NetworkDescription]:
    description = NetworkDescription.from_fields(fields)
    with WithoutInitialisation():
        network = description.build_region_network()
    network.load_state_dict({_name_in_network(name): tensor for name, tensor in tensors.items()})
    return network.eval(), description


def _name_in_network(name: str) -> str:
    return name if name.startswith(BOX_PREFIXES) else f"{TRUNK_PREFIX}{name}"
