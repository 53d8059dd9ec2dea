"""Cross entropy for labels that may stand for a set of classes, of which one is right."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ClassLoss(nn.Module):
    """Cross entropy of a class or of a set of classes.

    The probability of a label that stands for a set is the sum of the probabilities of its classes (Jin and Ghahramani,
    NIPS 2002), so the network decides how to divide it among them.

    Args:
        outputs: number K of outputs of the network.
        sets: the outputs that each label from K on stands for.
        smoothing: share of the target that is spread over all outputs, 0-1 (Szegedy et al., arXiv 1512.00567,
            section 7).
    """

    allowed: Tensor

    def __init__(self, outputs: int, *, sets: Sequence[Collection[int]] = (), smoothing: float = 0.0) -> None:
        super().__init__()
        allowed = torch.eye(outputs + len(sets), outputs, dtype=torch.bool)  # [labels, outputs]
        for label, right_outputs in enumerate(sets, start=outputs):
            allowed[label, list(right_outputs)] = True
        self.register_buffer("allowed", allowed, persistent=False)
        self.outputs = outputs
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of logits [N, K] and labels [N], a scalar."""
        if len(self.allowed) == self.outputs:  # there are no sets
            return functional.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)
        log_outputs = functional.log_softmax(logits.float(), dim=1)
        log_labels = log_outputs.masked_fill(~self.allowed[labels], -torch.inf).logsumexp(1)
        return -((1 - self.smoothing) * log_labels + self.smoothing * log_outputs.mean(1)).mean()

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return a mask [N] that is True where the output with index `outputs` [N] is right for the label [N]."""
        return self.allowed[labels, outputs]

    def single(self, labels: Tensor) -> Tensor:
        """Return the labels [N], with 0 in place of labels that stand for a set, since its right output is unknown."""
        return torch.where(labels < self.outputs, labels, 0)
