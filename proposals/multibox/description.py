"""`MultiBoxDescription`: what the metadata of a weights file of MultiBox say, in safetensors and ONNX alike.

Only the methods that build a network import PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

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
        from detection.runtime.weights_files.tensor_file import build_network  # noqa: PLC0415

        return build_network(self.trunk["class_path"], **self.trunk["init_args"])

    def build(self) -> MultiBox:
        """Return the network with random weights; each prior is the whole image. Raises what `build_trunk` raises."""
        import torch  # noqa: PLC0415

        from proposals.multibox.network import MultiBox  # noqa: PLC0415

        return MultiBox(self.build_trunk(), torch.tensor([[0.0, 0, 1, 1]]).repeat(self.priors, 1), **self.head)
