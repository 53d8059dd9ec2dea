"""Weights files of classifiers: a safetensors file whose metadata describes how to rebuild the network."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from torch import Tensor, nn

from classifier.region_network import RegionNetwork
from detection.runtime.weights_files.tensor_file import (
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
    """The metadata of a weights file.

    Attributes:
        class_path: import path of the network's class, within the package `classifier`.
        init_args: the arguments of the class besides the number of outputs.
        class_names: the C foreground classes.
        input_size: side S of the input, in pixels.
        context: pixels of the input on each side that show the surroundings of a box.
        background: True if the network scores regions and has C + 1 outputs, of which output 0 is background; False if
            it was trained on whole images only and has C outputs.
        head: "softmax" if the outputs are logits, or "svm" if they are margins of linear SVMs. There are C margins,
            since SVMs have no output for background.
        box_regression: True if the file also holds a layer that refines the boxes of each class.
        training: how the weights were made: data, command, seed, versions.

    Raises:
        ValueError: if the head is unknown.
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

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Return the description that was stored as JSON; raises `TypeError` or `KeyError` for other fields."""
        return cls(**{**fields, "class_names": tuple(fields["class_names"])})

    @property
    def num_outputs(self) -> int:
        """Number of outputs: the classes, and background if it has an output."""
        return len(self.class_names) + (self.background and self.head == "softmax")

    def build(self) -> nn.Module:
        """Build the network with new weights and without a box regression layer.

        Raises:
            ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
        """
        return build_network(self.class_path, self.num_outputs, **self.init_args)

    def build_region_network(self) -> RegionNetwork:
        """Build the network with all layers of the file and new weights; raises what `build` raises."""
        return RegionNetwork(self.build(), box_classes=len(self.class_names) if self.box_regression else None)


def find_weights(name: str) -> Path:
    """The file at this path, or else the shipped file of this name."""
    return find_file(name, SHIPPED)


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
    return name if name.startswith(BOX_HEAD_PREFIX) else f"{TRUNK_PREFIX}{name}"
