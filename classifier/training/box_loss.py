"""The loss of a box regression head that is trained with its network (Fast R-CNN, arXiv 1504.08083, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from classifier.layers.box_deltas import encode_boxes

MIN_IOU = 0.5
"""Overlap from which a region is moved: that of foreground, so all regions that could become detections are taught.

R-CNN's ridge asks for 0.6, since it fits a linear map to fixed features, and far regions would bend it.
"""


def box_regression_loss(
    deltas: Tensor, labels: Tensor, regions: Tensor, targets: Tensor, *, weight: float = 1.0
) -> Tensor:
    """Smooth L1 distance of the true class's deltas, over foreground regions near their ground truth.

    The four coordinates are added up and the sum is divided by all N regions, so a batch with little foreground does
    not pull harder on each of its regions.

    Args:
        deltas: [N, C, 4], outputs of the head, in units of `classifier.layers.box_deltas.DELTA_STDS`.
        labels: [N], 0 for background and c + 1 for class c.
        regions: [N, 4] xyxy in pixels.
        targets: [N, 4] xyxy in pixels, the ground truth of each region; of no influence for background.
        weight: factor on the loss beside that of the classes.

    Returns:
        A scalar, which is zero, and still has a gradient, where no region counts.
    """
    near = ((labels > 0) & (paired_iou(regions, targets) >= MIN_IOU)).unsqueeze(1)  # a mask: its indices would be
    rows = torch.arange(len(labels), device=labels.device)  # counted, for which the host would wait for a GPU
    predicted = torch.where(near, deltas[rows, (labels - 1).clamp(min=0)].float(), 0)
    expected = torch.where(near, encode_boxes(regions.float(), targets.float()), 0)
    total = functional.smooth_l1_loss(predicted, expected, reduction="sum")
    return weight * total / max(1, len(labels))


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each box with its partner: [N, 4], [N, 4] -> [N]; 0 for two boxes without area."""
    sides = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    intersection = sides.clamp(min=0).prod(dim=1)
    union = _area(boxes) + _area(others) - intersection
    return torch.where(union > 0, intersection / union, 0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
