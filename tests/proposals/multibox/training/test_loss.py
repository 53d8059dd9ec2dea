from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from proposals.multibox.network import STD, decode_residuals, encode_residuals
from proposals.multibox.training.module import multibox_loss


def test_by_hand() -> None:
    """One image, three priors of which the second is matched; alpha 0.3.

    F_match = (1^2 + 2^2) / 2 = 2.5. Confidences 0.5, 0.75 and 0.5: F_conf = -log 0.5 - log 0.75 - log 0.5.
    """
    residuals = torch.tensor([[[9.0, 9, 9, 9], [1, 0, 0, 2], [9, 9, 9, 9]]])
    logits = torch.tensor([[0.0, math.log(3), 0]])
    loss = multibox_loss(
        residuals,
        logits,
        matched=torch.tensor([[0, 1]]),
        targets=torch.zeros(1, 4),
        counted=torch.ones(1, 3, dtype=torch.bool),
        alpha=0.3,
    )
    assert float(loss) == pytest.approx(0.3 * 2.5 + 2 * math.log(2) + math.log(4 / 3), rel=1e-6)


def batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    counted = torch.rand(3, 8, generator=generator) < 0.8
    matched = torch.tensor([[0, 2], [0, 7], [2, 1]])  # the second image has no object
    return {
        "residuals": torch.randn(3, 8, 4, generator=generator, dtype=dtype),
        "logits": torch.randn(3, 8, generator=generator, dtype=dtype),
        "matched": matched,
        "targets": torch.randn(3, 4, generator=generator, dtype=dtype),
        "counted": counted,
    }


def naive_loss(residuals: Tensor, logits: Tensor, matched: Tensor, targets: Tensor, counted: Tensor) -> float:
    objects = {(int(i), int(k)): target for (i, k), target in zip(matched, targets, strict=True)}
    total = 0.0
    for i in range(len(logits)):
        for k in range(logits.shape[1]):
            confidence = 1 / (1 + math.exp(-float(logits[i, k])))
            if (i, k) in objects:
                total += 2.0 * 0.5 * float(((residuals[i, k] - objects[i, k]) ** 2).sum())
                total -= math.log(confidence)
            elif counted[i, k]:
                total -= math.log(1 - confidence)
    return total / len(logits)


@pytest.mark.parametrize("seed", range(4))
def test_against_a_loop(seed: int) -> None:
    sample = batch(seed)
    assert float(multibox_loss(**sample, alpha=2.0)) == pytest.approx(naive_loss(**sample), rel=1e-5)


def test_gradients() -> None:
    sample = batch(dtype=torch.float64)
    residuals, logits = sample.pop("residuals"), sample.pop("logits")

    def loss(residuals: Tensor, logits: Tensor) -> Tensor:
        return multibox_loss(residuals, logits, **sample, alpha=0.3)

    inputs = (residuals.requires_grad_(), logits.requires_grad_())
    # The loss is computed in single precision, so the steps of the check are coarse.
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-2, atol=1e-2, rtol=1e-2)


def test_only_matched_boxes_have_a_gradient() -> None:
    sample = batch()
    sample["residuals"].requires_grad_()
    multibox_loss(**sample, alpha=0.3).backward()
    gradient = sample["residuals"].grad
    assert gradient is not None
    pulled = gradient.abs().sum(2) > 0
    assert pulled.nonzero().tolist() == sample["matched"].tolist()


def test_no_objects_still_has_a_gradient() -> None:
    sample = batch() | {"matched": torch.zeros(0, 2, dtype=torch.int64), "targets": torch.zeros(0, 4)}
    sample["residuals"].requires_grad_()
    sample["logits"].requires_grad_()
    loss = multibox_loss(**sample, alpha=0.3)
    loss.backward()
    assert float(loss.detach()) > 0
    assert sample["logits"].grad is not None


def test_extreme_confidences_are_finite() -> None:
    sample = batch()
    sample["logits"] = torch.full((3, 8), 200.0)
    assert math.isfinite(float(multibox_loss(**sample, alpha=0.3)))


def test_residuals_are_in_units_of_the_priors_sides() -> None:
    # Width 0.4, height 0.2; the left border moves by a tenth of the width, the lower one by a fifth of the height.
    prior, box = torch.tensor([[0.2, 0.2, 0.6, 0.4]]), torch.tensor([[0.24, 0.2, 0.6, 0.44]])
    expected = torch.tensor([[0.1, 0, 0, 0.2]]) / STD
    torch.testing.assert_close(encode_residuals(prior, box), expected, atol=1e-5, rtol=1e-5)


def test_round_trip_of_residuals() -> None:
    generator = torch.Generator().manual_seed(0)
    corners, sides = torch.rand(2, 9, 2, generator=generator), torch.rand(2, 9, 2, generator=generator) + 0.01
    boxes = torch.cat([corners, corners + sides], dim=2)
    priors = boxes[0].flip(0)
    residuals = encode_residuals(priors, boxes)
    assert residuals.shape == (2, 9, 4)
    torch.testing.assert_close(decode_residuals(priors, residuals), boxes, atol=1e-5, rtol=1e-4)
