"""`NetworkDescription`: what the metadata of a classifier's weights file say, in safetensors and ONNX alike.

Only the methods that build a network import PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from detection.runtime.weights_files.engine import find_file
from detection.structures.ranges import require_range

if TYPE_CHECKING:
    from torch import nn

    from classifier.region_network import RegionNetwork

SHIPPED = Path(__file__).parent.parent / "weights"
METADATA_KEY = "region_classifier"

Head = Literal["softmax", "svm"]
HEADS: tuple[Head, ...] = ("softmax", "svm")


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
        box_regression: True if the file also holds layers that refine the boxes of each class.
        box_grid: the grid of a `classifier.layers.box_grid.BoxGrid`; None if there is none.
        training: how the weights were made: data, command, seed, versions.

    Raises:
        ValueError: if the head is unknown, the context leaves no room for a box, or `box_grid` is not positive.
    """

    class_path: str
    init_args: dict[str, Any]
    class_names: tuple[str, ...]
    input_size: int
    context: int
    background: bool = True
    head: Head = "softmax"
    box_regression: bool = False
    box_grid: int | None = None
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, got {self.head}")
        if self.box_grid is not None:
            require_range(1, 1000, box_grid=self.box_grid)
        if not 0 <= 2 * self.context < self.input_size:
            half = f"half of input_size {self.input_size}"
            raise ValueError(f"context must be at least 0 and less than {half}, got {self.context}")

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
        from detection.runtime.weights_files.tensor_file import build_network  # noqa: PLC0415

        return build_network(self.class_path, self.num_outputs, **self.init_args)

    def build_region_network(self) -> RegionNetwork:
        """Build the network with all layers of the file and new weights; raises what `build` raises."""
        from classifier.region_network import RegionNetwork  # noqa: PLC0415

        return RegionNetwork(
            self.build(),
            box_classes=len(self.class_names) if self.box_regression else None,
            box_grid=self.box_grid,
        )


def find_weights(name: str) -> Path:
    """Return the file at this path, or else the shipped file of this name."""
    return find_file(name, SHIPPED)
