"""Weights of MultiBox in one safetensors file that says how to rebuild the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detection.runtime.tensor_file import WithoutInitialisation, build_network, find_file, read_tensors, write_tensors
from proposals.multibox.network import MultiBox

SHIPPED = Path(__file__).parent.parent / "weights"
METADATA_KEY = "multibox"


@dataclass(frozen=True)
class MultiBoxDescription:
    """What a weights file says beside its tensors.

    Attributes:
        trunk: `class_path` and `init_args` of the network below the head, of the package `classifier`.
        head: the arguments of `MultiBox` besides the trunk and the priors.
        priors: their number.
        input_size: side S of the input, in pixels.
        training: how the weights came about: data, command, seed, versions.
    """

    trunk: dict[str, Any]
    head: dict[str, Any]
    priors: int
    input_size: int
    training: dict[str, Any] = field(default_factory=dict)

    def build_trunk(self) -> nn.Module:
        """The network below the head with fresh weights.

        Raises:
            ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
        """
        return build_network(self.trunk["class_path"], **self.trunk["init_args"])

    def build(self) -> MultiBox:
        """The whole network with fresh weights and the whole image as all priors; raises as `build_trunk` does."""
        return MultiBox(self.build_trunk(), torch.tensor([[0.0, 0, 1, 1]]).repeat(self.priors, 1), **self.head)


def find_multibox(name: str) -> Path:
    """The file of that path, or else the shipped one of that name."""
    return find_file(name, SHIPPED)


def save_multibox(path: Path, network: MultiBox, description: MultiBoxDescription) -> None:
    """Write the priors and all weights in half precision, atomically.

    Raises:
        InputError: naming the file, if it cannot be written; an earlier file of that name is still there then.
    """
    write_tensors(path, network.state_dict(), key=METADATA_KEY, description=asdict(description))


def load_multibox(path: Path) -> tuple[MultiBox, MultiBoxDescription]:
    """The network of a weights file, in float32 and evaluation mode, and its description.

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
