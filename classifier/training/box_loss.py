"""The loss of a box regression head that is trained with its network (Fast R-CNN, arXiv 1504.08083, section 2.3)."""

import torch
from torch import Tensor
from torch.nn import functional

from classifier.box_deltas import encode_boxes

MIN_IOU = 0.5
"""Smallest IoU of a region and its ground truth from which the head learns.

It is the IoU of foreground, so the head learns from all regions that could become detections. R-CNN's ridge regression
uses 0.6, because it fits a linear map to fixed features, and distant regions would distort this map.
"""


def box_regression_loss(
    deltas: Tensor, labels: Tensor, regions: Tensor, targets: Tensor, *, weight: float = 1.0
) -> Tensor:
    """Return the smooth L1 loss of the true class's deltas, over foreground regions near their ground truth.

    The losses of the four coordinates are added up, and the sum is divided by the number N of all regions, so a region
    does not count more in a batch with little foreground.

    Args:
        deltas: [N, C, 4], outputs of the head, in units of `classifier.box_deltas.DELTA_STDS`.
        labels: [N], 0 for background and c + 1 for class c.
        regions: [N, 4] xyxy in pixels.
        targets: [N, 4] xyxy in pixels, the ground truth of each region; ignored for background.
        weight: factor on the loss.

    Returns:
        A scalar. It is zero, but has a gradient, if no region counts.
    """
    # A mask instead of indices: their number would be unknown, and the host would wait for the GPU.
    near = ((labels > 0) & (paired_iou(regions, targets) >= MIN_IOU)).unsqueeze(1)
    rows = torch.arange(len(labels), device=labels.device)
    predicted = torch.where(near, deltas[rows, (labels - 1).clamp(min=0)].float(), 0)
    expected = torch.where(near, encode_boxes(regions.float(), targets.float()), 0)
    total = functional.smooth_l1_loss(predicted, expected, reduction="sum")
    return weight * total / max(1, len(labels))


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of each box [N, 4] with the box of the same row in `others` [N, 4]: [N], 0 for two empty boxes."""
    sides = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    intersection = sides.clamp(min=0).prod(dim=1)
    union = _area(boxes) + _area(others) - intersection
    return torch.where(union > 0, intersection / union, 0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
