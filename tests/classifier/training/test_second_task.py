"""Tests of `SecondTask`: what its network sees, its part of the loss, and which layers learn from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifier.training.augmentation import distort
from classifier.training.second_task import SecondTask
from classifier.warp.crop import warp_regions
from detection.runtime.pixels import MEAN_RGB
from tests.classifier.training.test_module import UNCHANGED, batch_of, training

PLAIN: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1), "temperature": 1.0}


class MeanColour(nn.Module):
    """Returns the mean red, green and blue of pictures as logits."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


def test_the_network_sees_the_regions_in_its_own_scale() -> None:
    batch = batch_of()._replace(distortions=UNCHANGED)
    task = SecondTask(MeanColour(), input_size=48, mean=(100, 110, 120), std=(50, 60, 70), temperature=2)
    regions = training(second_task=task)._distorted(batch, 48)
    pixels = warp_regions(batch.images, batch.boxes[:, None], size=48, context=3)[:, 0]  # of 32 pixels, 2 are context
    pixels += torch.tensor(MEAN_RGB).view(3, 1, 1)
    colours = (pixels.mean((2, 3)) - torch.tensor([100, 110, 120])) / torch.tensor([50, 60, 70])
    torch.testing.assert_close(task.probabilities(regions), (colours / 2).softmax(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.5), (3.0, 2.0)])
def test_the_loss_is_least_for_the_networks_own_outputs(temperature: float, share: float) -> None:
    task = SecondTask(MeanColour(), input_size=32, temperature=temperature, share=share)
    regions = training(second_task=task)._distorted(batch_of(), 32)
    logits = (temperature * task.probabilities(regions).log()).requires_grad_()
    loss = task.loss(logits, regions)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-5
    wrong = torch.zeros_like(logits)
    divergence = (task.probabilities(regions) * (task.probabilities(regions).log() + torch.tensor(3.0).log())).sum(1)
    torch.testing.assert_close(task.loss(wrong, regions), share * temperature**2 * divergence.mean())


@pytest.mark.parametrize("head_steps", [0, 1])
def test_first_only_the_layer_learns_and_then_the_features(head_steps: int) -> None:
    batch, task = batch_of(), SecondTask(MeanColour(), input_size=32, head_steps=head_steps, **PLAIN)
    alone, together = training(), training(second_task=task)
    losses: list[Tensor] = []
    gradients: list[Tensor] = []
    for module in (alone, together):
        loss, _ = module._loss(batch)
        losses.append(loss)
        gradients += torch.autograd.grad(loss, next(module.network.trunk.parameters()), retain_graph=True)
    assert torch.equal(*gradients) == (head_steps == 1)
    assert together.second_head is not None
    assert torch.autograd.grad(losses[1], together.second_head.weight)[0].abs().max() > 0
    features = together.network.features(together.distorted_regions(batch))
    added = task.loss(together.second_head(features), distort(together._warp(batch, 32, 2), batch.distortions))
    torch.testing.assert_close(losses[1], losses[0] + added)


def test_the_layer_learns_as_fast_as_new_layers() -> None:
    module = training(second_task=SecondTask(MeanColour(), input_size=32))
    assert module.second_head is not None
    *others, weights, biases = module._parameter_groups()
    assert (weights["params"], biases["params"]) == ([module.second_head.weight], [module.second_head.bias])
    assert weights["lr"] == biases["lr"] == module.options.learning_rate * module.options.new_layer_factor
    assert (weights["weight_decay"], biases["weight_decay"]) == (module.options.weight_decay, 0)
    assert sum(len(other["params"]) for other in others) == len(list(module.network.parameters()))


def test_the_network_does_not_learn() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    module = training(second_task=SecondTask(network, input_size=8))
    module._loss(batch_of())[0].backward()
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any("network.1" in name for name in module.state_dict())


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (nn.Linear(7, 5), {}, "expected a network for pictures of 224 px, got: mat1 and mat2"),
        (nn.Identity(), {}, "expected a network that returns logits [2, K] for two pictures, got [2, 3, 224, 224]"),
        (MeanColour(), {"std": (1, 0, 1)}, "expected a mean and a std above 0 of red, green and blue"),
        (MeanColour(), {"mean": (1, 2)}, "expected a mean and a std above 0 of red, green and blue"),
        (MeanColour(), {"share": -1}, "share must lie in 0-1000, got -1"),
        (MeanColour(), {"input_size": 0}, "input_size must lie in 1-10000, got 0"),
    ],
)
def test_unusable_networks_and_numbers(network: nn.Module, options: dict[str, Sequence[float]], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SecondTask(network, **options)  # type: ignore[arg-type]
