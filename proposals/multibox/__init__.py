"""MultiBox (arXiv 1312.2249, 1412.1441): a network that proposes boxes for a whole image in one pass."""

from typing import TYPE_CHECKING

from proposals.multibox.proposer import MultiBoxProposer

if TYPE_CHECKING:
    from proposals.multibox.network import MultiBox

__all__ = ["MultiBox", "MultiBoxProposer"]


def __getattr__(name: str) -> object:
    # Imported at first use, because the proposer also computes ONNX files, which need no PyTorch.
    if name == "MultiBox":
        from proposals.multibox.network import MultiBox  # noqa: PLC0415

        return MultiBox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
