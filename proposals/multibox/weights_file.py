"""The weights file of MultiBox: safetensors whose metadata say how to rebuild the network."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from detection.runtime.weights_files.tensor_file import WithoutInitialisation, read_tensors, write_tensors
from proposals.multibox.description import METADATA_KEY, MultiBoxDescription
from proposals.multibox.network import MultiBox


def save_multibox(path: Path, network: MultiBox, description: MultiBoxDescription) -> None:
    """Write the priors and the weights in half precision, atomically.

    Raises:
        InputError: naming the file, if it cannot be written; then an earlier file of that name is left as it was.
    """
    write_tensors(path, network.state_dict(), key=METADATA_KEY, description=asdict(description))


def load_multibox(path: Path) -> tuple[MultiBox, MultiBoxDescription]:
    """Return the network of a weights file, in float32 and evaluation mode, and its description.

    Raises:
        InputError: naming the file, if it is missing, broken, or not of MultiBox.
    """
    return read_tensors(path, _build, key=METADATA_KEY, content="MultiBox")


def _build(fields: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[MultiBox, MultiBoxDescription]:
    description = MultiBoxDescription(**fields)
    with WithoutInitialisation():
        network = description.build()
    network.load_state_dict(tensors)
    return network.eval(), description
