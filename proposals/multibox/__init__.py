"""MultiBox (arXiv 1312.2249, 1412.1441): a network that proposes boxes for a whole image in one pass."""

from proposals.multibox.proposer import MultiBoxProposer

__all__ = ["MultiBoxProposer"]
