"""Tests from which regions the box regression learns, and how much each region counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from classifier.box_deltas import encode_boxes
from classifier.training.box_loss import box_regression_loss, paired_iou
from detection.structures.boxes import box_iou


def random_boxes(seed: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = 20 * torch.rand((count, 2), generator=generator)
    return torch.cat([corners, corners + 30 * torch.rand((count, 2), generator=generator)], dim=1)


def test_hand_derived_loss() -> None:
    # Target 10 wide, moved 1 to the right: dx = 0.1, which is 1 in units of 0.1. The IoU is 9 / 11.
    regions = torch.tensor([[0.0, 0, 10, 10]]).repeat(3, 1)
    targets = torch.tensor([[1.0, 0, 11, 10]]).repeat(3, 1)
    deltas = torch.zeros(3, 2, 4)
    deltas[0, 1] = torch.tensor([1.5, 0, 0, -3])  # off by 0.5 and by 3
    deltas[1, 0] = torch.tensor([1, 0, 0, 0.0])  # right
    deltas[2] = 50  # background
    # Smooth L1: 0.5 * 0.5 ** 2 = 0.125 and 3 - 0.5 = 2.5; over three regions.
    loss = box_regression_loss(deltas, torch.tensor([2, 1, 0]), regions, targets, weight=2)
    assert loss.item() == pytest.approx(2 * 2.625 / 3)


def test_agrees_with_loops() -> None:
    regions = random_boxes(0, 60)
    targets = regions + 2 * torch.randn((60, 4), generator=torch.Generator().manual_seed(1))
    targets[:, 2:] = torch.maximum(targets[:, 2:], targets[:, :2] + 1)
    labels = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(2))
    deltas = torch.randn((60, 3, 4), generator=torch.Generator().manual_seed(3))
    total, counted = 0.0, 0
    for index, label in enumerate(labels.tolist()):
        pair = regions[index : index + 1], targets[index : index + 1]
        if label == 0 or box_iou(pair[0].numpy(), pair[1].numpy())[0, 0] < 0.5:
            continue
        counted += 1
        for difference in (deltas[index, label - 1] - encode_boxes(*pair)[0]).abs().tolist():
            total += difference - 0.5 if difference > 1 else difference**2 / 2
    assert 10 < counted < 50
    assert box_regression_loss(deltas, labels, regions, targets).item() == pytest.approx(total / 60, rel=1e-4)


def test_only_the_true_class_of_near_foreground_gets_a_gradient() -> None:
    regions = torch.tensor([[0.0, 0, 10, 10]]).repeat(4, 1)
    # IoU of 0.5, a little less, 0.9 and 0.9.
    targets = torch.tensor([[0.0, 0, 20, 10], [0, 0, 20.1, 10], [0, 0, 9, 10], [0, 0, 9, 10]])
    deltas = torch.zeros((4, 3, 4), requires_grad=True)
    box_regression_loss(deltas, torch.tensor([3, 3, 0, 1]), regions, targets).backward()
    assert deltas.grad is not None
    assert deltas.grad.any(dim=2).nonzero().tolist() == [[0, 2], [3, 0]]


@pytest.mark.parametrize("count", [0, 2])
def test_nothing_to_learn_is_zero_with_a_gradient(count: int) -> None:
    deltas = torch.ones((count, 3, 4), requires_grad=True)
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(count, 1)
    loss = box_regression_loss(deltas, torch.zeros(count, dtype=torch.int64), boxes, boxes)
    loss.backward()
    assert loss.item() == 0
    assert deltas.grad is not None
    assert not deltas.grad.any()


def test_half_precision_outputs() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    deltas, labels = torch.ones((1, 1, 4), dtype=torch.bfloat16), torch.ones(1, dtype=torch.int64)
    loss = box_regression_loss(deltas, labels, boxes, boxes)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(4 * 0.5)


def test_learns_to_move_regions() -> None:
    """The input contains the true offsets, so gradient descent on the loss must move the boxes to their targets."""
    torch.manual_seed(0)
    regions = random_boxes(5, 64) + torch.tensor([0, 0, 40, 40])
    targets = regions + 3 * torch.randn(64, 4)
    labels = torch.randint(1, 3, (64,))
    wanted = encode_boxes(regions, targets)
    weight = torch.zeros((8, 4), requires_grad=True)
    losses = []
    for _ in range(200):
        loss = box_regression_loss((wanted @ weight.T).view(64, 2, 4), labels, regions, targets)
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - 0.5 * gradient).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 100


def test_paired_iou_is_the_diagonal_of_all_pairs() -> None:
    boxes, others = random_boxes(6, 50), random_boxes(7, 50)
    expected = np.diagonal(box_iou(boxes.numpy(), others.numpy()))
    np.testing.assert_allclose(paired_iou(boxes, others).numpy(), expected, atol=1e-6)
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert paired_iou(point, point).tolist() == [0]
