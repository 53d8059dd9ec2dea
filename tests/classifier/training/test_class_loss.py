"""Tests of the loss of classes and of sets of classes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from classifier.training.class_loss import ClassLoss

OUTPUTS = 4
SETS = [{1, 3}, {0, 1, 2, 3}]


@pytest.fixture(name="logits")
def random_logits() -> torch.Tensor:
    return torch.randn(6, OUTPUTS, generator=torch.Generator().manual_seed(1))


LABELS = torch.tensor([0, 1, 2, 3, 2, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_single_classes_are_cross_entropy(smoothing: float, logits: torch.Tensor) -> None:
    expected = functional.cross_entropy(logits, LABELS, label_smoothing=smoothing)
    for sets in ([], SETS):
        loss = ClassLoss(OUTPUTS, sets=sets, smoothing=smoothing)(logits, LABELS)
        assert torch.allclose(loss, expected, atol=1e-6)


def test_a_set_has_the_probability_of_its_classes(logits: torch.Tensor) -> None:
    loss = ClassLoss(OUTPUTS, sets=SETS)(logits, torch.full((6,), OUTPUTS))
    assert torch.allclose(loss, -logits.softmax(1)[:, [1, 3]].sum(1).log().mean(), atol=1e-6)


def test_a_set_of_all_teaches_nothing(logits: torch.Tensor) -> None:
    logits.requires_grad_()
    loss = ClassLoss(OUTPUTS, sets=SETS)(logits, torch.full((6,), OUTPUTS + 1))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.zeros(6, OUTPUTS), atol=1e-6)


def test_gradients_go_to_the_likelier_ones_of_a_set() -> None:
    logits = torch.tensor([[0.0, 2.0, 0.0, 1.0]], requires_grad=True)
    ClassLoss(OUTPUTS, sets=SETS)(logits, torch.tensor([OUTPUTS])).backward()
    assert logits.grad is not None
    zero, one, two, three = logits.grad[0].tolist()
    assert one < three < 0 < zero == two


def test_confident_wrong_logits_have_finite_gradients() -> None:
    logits = torch.tensor([[1e4, 0.0, 0.0, 0.0]], requires_grad=True)
    ClassLoss(OUTPUTS, sets=SETS, smoothing=0.1)(logits, torch.tensor([OUTPUTS])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_what_is_right() -> None:
    loss = ClassLoss(OUTPUTS, sets=SETS)
    labels = torch.tensor([0, 0, OUTPUTS, OUTPUTS, OUTPUTS + 1])
    assert loss.right(torch.tensor([0, 1, 3, 2, 2]), labels).tolist() == [True, False, True, False, True]


def test_sets_are_no_single_classes() -> None:
    loss = ClassLoss(OUTPUTS, sets=SETS)
    assert loss.single(torch.tensor([0, 3, OUTPUTS, OUTPUTS + 1])).tolist() == [0, 3, 0, 0]


def test_half_precision_is_computed_in_full(logits: torch.Tensor) -> None:
    loss = ClassLoss(OUTPUTS, sets=SETS)
    labels = torch.tensor([0, 1, 2, 3, OUTPUTS, OUTPUTS])
    half = logits.bfloat16()
    assert loss(half, labels).dtype == torch.float32
    assert torch.equal(loss(half, labels), loss(half.float(), labels))


def test_nothing_of_it_enters_checkpoints() -> None:
    assert not ClassLoss(OUTPUTS, sets=SETS).state_dict()
