"""Softmax regression where a label may stand for several classes, of which one is right."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ClassLoss(nn.Module):
    """Cross entropy, of a class or of a set of classes.

    Of a region that is known to be of one of several classes, the probability of its label is the sum of theirs (Jin
    and Ghahramani, NIPS 2002): how it is shared out among them is left to the network.

    Args:
        outputs: number K of outputs of the network.
        sets: what the labels from K on stand for, each several outputs.
        smoothing: share of the target spread over all outputs, 0-1 (Szegedy et al., arXiv 1512.00567, section 7).
    """

    allowed: Tensor

    def __init__(self, outputs: int, *, sets: Sequence[Collection[int]] = (), smoothing: float = 0.0) -> None:
        super().__init__()
        allowed = torch.eye(outputs, dtype=torch.bool)
        of_sets = torch.zeros(len(sets), outputs, dtype=torch.bool)
        for row, some in enumerate(sets):
            of_sets[row, list(some)] = True
        self.register_buffer("allowed", torch.cat([allowed, of_sets]), persistent=False)
        self.outputs = outputs
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of logits [N, K] and labels [N], a scalar."""
        if len(self.allowed) == self.outputs:  # without sets
            return functional.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)
        of_outputs = functional.log_softmax(logits.float(), dim=1)
        of_labels = of_outputs.masked_fill(~self.allowed[labels], -torch.inf).logsumexp(1)
        return -((1 - self.smoothing) * of_labels + self.smoothing * of_outputs.mean(1)).mean()

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Whether outputs [N], by index, are what the labels [N] say or one of it: bool [N]."""
        return self.allowed[labels, outputs]

    def single(self, labels: Tensor) -> Tensor:
        """The labels [N], but 0 in place of sets, of which no output is known to be right."""
        return torch.where(labels < self.outputs, labels, 0)
