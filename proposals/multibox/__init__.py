"""MultiBox (arXiv 1312.2249, 1412.1441): boxes of a whole image in one pass of a network."""

from proposals.multibox.network import MultiBox
from proposals.multibox.proposer import MultiBoxProposer

__all__ = ["MultiBox", "MultiBoxProposer"]
