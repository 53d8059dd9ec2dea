"""Weights of a classifier in one safetensors file that says how to rebuild the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from classifier.region_network import RegionNetwork
from detection.runtime.tensor_file import (
    Storage,
    WithoutInitialisation,
    build_network,
    find_file,
    read_tensors,
    write_tensors,
)

SHIPPED = Path(__file__).parent.parent / "weights"
METADATA_KEY = "region_classifier"

Head = Literal["softmax", "svm"]
HEADS: tuple[Head, ...] = ("softmax", "svm")

TRUNK_PREFIX = "trunk."
BOX_HEAD_PREFIX = "box_head."


@dataclass(frozen=True)
class NetworkDescription:
    """What a weights file says beside its tensors.

    Attributes:
        class_path: import path of the network, within the package `classifier`.
        init_args: its arguments besides the number of outputs.
        class_names: the C foreground classes.
        input_size: side S of the input, in pixels.
        context: pixels of the input that show the surroundings of a box on each side.
        background: whether the network scores regions and has C + 1 outputs, of which 0 is background; a network
            that was only pre-trained on whole images has C.
        head: what the outputs are: logits of a softmax, or margins of linear SVMs. Those have no output for
            background, so there are C.
        box_regression: whether the file also holds a head that refines the boxes of each class.
        training: how the weights came about: data, command, seed, versions.

    Raises:
        ValueError: at construction, if the head is unknown.
    """

    class_path: str
    init_args: dict[str, Any]
    class_names: tuple[str, ...]
    input_size: int
    context: int
    background: bool = True
    head: Head = "softmax"
    box_regression: bool = False
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, got {self.head}")

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: the classes, and background where it has an output."""
        return len(self.class_names) + (self.background and self.head == "softmax")

    def build(self) -> nn.Module:
        """The network with fresh weights, without a head for boxes.

        Raises:
            ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
        """
        return build_network(self.class_path, self.num_outputs, **self.init_args)

    def build_region_network(self) -> RegionNetwork:
        """The network of `build` with the heads of the file, all with fresh weights; raises as `build` does."""
        return RegionNetwork(self.build(), box_classes=len(self.class_names) if self.box_regression else None)


def find_weights(name: str) -> Path:
    """The file of that path, or else the shipped one of that name."""
    return find_file(name, SHIPPED)


def save_weights(
    path: Path, network: nn.Module, description: NetworkDescription, *, stored_as: Storage = "float16"
) -> None:
    """Write a network's parameters and buffers as float16, or the weights of its layers as int8, atomically.

    A `RegionNetwork` is stored as its trunk's tensors under their own names, and those of its head for boxes.

    Raises:
        InputError: naming the file, if it cannot be written; an earlier file of that name is still there then.
    """
    tensors = {name.removeprefix(TRUNK_PREFIX): value for name, value in network.state_dict().items()}
    write_tensors(path, tensors, key=METADATA_KEY, description=asdict(description), stored_as=stored_as)


def load_weights(path: Path) -> tuple[nn.Module, NetworkDescription]:
    """The network of a weights file without a head for boxes, and its description; see `load_region_network`."""
    network, description = load_region_network(path)
    return network.trunk, description


def load_region_network(path: Path) -> tuple[RegionNetwork, NetworkDescription]:
    """The network of a weights file with all its heads, in float32 and evaluation mode, and its description.

    Raises:
        InputError: naming the file, if it is missing, broken, or not of a region classifier.
    """
    return read_tensors(path, _build, key=METADATA_KEY, content="a region classifier")


def _build(fields: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[RegionNetwork, NetworkDescription]:
    description = NetworkDescription(**{**fields, "class_names": tuple(fields["class_names"])})
    with WithoutInitialisation():
        network = description.build_region_network()
    network.load_state_dict({_name_in_network(name): tensor for name, tensor in tensors.items()})
    return network.eval(), description


def _name_in_network(name: str) -> str:
    return name if name.startswith(BOX_HEAD_PREFIX) else f"{TRUNK_PREFIX}{name}"
