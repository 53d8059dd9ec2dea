"""The weights file of MultiBox: safetensors whose metadata say how to rebuild the network."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detection.runtime.weights_files.tensor_file import (
    WithoutInitialisation,
    build_network,
    read_tensors,
    write_tensors,
)
from proposals.multibox.network import MultiBox

SHIPPED = Path(__file__).parent.parent / "weights"
METADATA_KEY = "multibox"


@dataclass(frozen=True)
class MultiBoxDescription:
    """The description that a weights file holds beside its tensors.

    Attributes:
        trunk: `class_path` and `init_args` of the network below the head, a class of the package `classifier`.
        head: the arguments of `MultiBox` other than the trunk and the priors.
        priors: the number of priors.
        input_size: side S of the input, in pixels.
        training: how the weights were made: data, command, seed, versions.
    """

    trunk: dict[str, Any]
    head: dict[str, Any]
    priors: int
    input_size: int
    training: dict[str, Any] = field(default_factory=dict)

    def build_trunk(self) -> nn.Module:
        """Return the network below the head, with random weights.

        Raises:
            ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
        """
        return build_network(self.trunk["class_path"], **self.trunk["init_args"])

    def build(self) -> MultiBox:
        """Return the network with random weights; each prior is the whole image. Raises what `build_trunk` raises."""
        return MultiBox(self.build_trunk(), torch.tensor([[0.0, 0, 1, 1]]).repeat(self.priors, 1), **self.head)


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
