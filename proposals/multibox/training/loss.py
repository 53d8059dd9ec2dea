"""The loss of MultiBox (arXiv 1312.2249, section 3): F = alpha F_match + F_conf."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def multibox_loss(
    residuals: Tensor, logits: Tensor, *, matched: Tensor, targets: Tensor, counted: Tensor, alpha: float
) -> Tensor:
    """Mean of F over the images of a batch.

    F_match is half the squared distance of each matched prediction to its object, in the unit of the residuals. F_conf
    is -log c over the matched predictions and -log(1 - c) over the others, where c is the logistic function of a logit.

    Args:
        residuals: [B, K, 4] as predicted.
        logits: [B, K] of the confidences.
        matched: [P, 2], image and prior of each matched prediction, none twice.
        targets: [P, 4], the residuals of their objects.
        counted: [B, K] bool, whether a prediction that is not matched is taken to be wrong.
        alpha: weight of F_match.
    """
    images, priors = matched.unbind(1)
    distances = (residuals[images, priors].float() - targets).square().sum()
    is_object = torch.zeros_like(counted)
    is_object[images, priors] = True
    logits = logits.float()
    confidences = functional.binary_cross_entropy_with_logits(logits, is_object.to(logits.dtype), reduction="none")
    total = alpha * distances / 2 + (confidences * (counted | is_object)).sum()
    return total / len(residuals)
