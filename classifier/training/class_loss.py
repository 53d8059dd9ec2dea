"""Losses of classes: cross entropy with labels, which may stand for a set of classes, and divergence from a network."""

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


def divergence(logits: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence of a network from another one, as the mean over a batch, a scalar.

    It is multiplied by the square of the temperature T, because gradients are about T^2 times smaller if logits are
    divided by T (arXiv 1503.02531, section 2).

    Args:
        logits: [N, K] of the network that learns.
        probabilities: [N, K] of the other network, whose logits were divided by the temperature.
        temperature: the number T, above 0, by which logits are divided.
    """
    outputs = functional.log_softmax(logits.float() / temperature, dim=1)
    return functional.kl_div(outputs, probabilities, reduction="batchmean") * temperature**2
