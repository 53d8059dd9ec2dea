from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from detection.training.schedules import CosineSchedule, ExponentialSchedule, PlateauSchedule, Schedule


def rates(schedule: Schedule, steps: int, epochs: float) -> list[list[float]]:
    """Return the rates of two groups of parameters at each step."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 1.0)]
    optimizer = torch.optim.SGD(groups)
    settings = schedule.build(optimizer, steps=steps, epochs=epochs)
    scheduler = settings["scheduler"]
    assert settings["interval"] == "step"
    assert isinstance(scheduler, LRScheduler)
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_rises_then_falls_to_zero() -> None:
    # 100 steps, 20 of them warm-up: half the rate at step 10, all at 20, half at 60 = 20 + 80 / 2.
    found = rates(CosineSchedule(warmup_fraction=0.2), 100, 5)
    assert found[0] == pytest.approx([0.001, 0.01])  # a hundredth, not nothing
    assert found[10] == pytest.approx([0.05, 0.5])
    assert found[20] == pytest.approx([0.1, 1.0])
    assert found[60] == pytest.approx([0.05, 0.5])
    assert found[99] == pytest.approx([0.1 * (0.5 + 0.5 * math.cos(math.pi * 79 / 80)), found[99][1]])
    assert found[99][1] < 0.001


def test_cosine_without_warm_up() -> None:
    assert rates(CosineSchedule(warmup_fraction=0), 10, 1)[0] == pytest.approx([0.1, 1.0])


def test_googlenets_steps() -> None:
    # 20 epochs of 5 steps, 4% less every 8 epochs = 40 steps.
    found = rates(ExponentialSchedule(), 100, 20)
    assert [rate[0] for rate in found] == pytest.approx([0.1] * 40 + [0.096] * 40 + [0.1 * 0.96**2] * 20)
    assert found[99][1] == pytest.approx(0.96**2)


def test_exponential_with_other_settings() -> None:
    found = rates(ExponentialSchedule(decrease=0.5, every_epochs=1), 6, 3)
    assert [rate[1] for rate in found] == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


def test_plateau_reduces_three_times_at_most() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.01)
    settings = PlateauSchedule(patience=1).build(optimizer, steps=10, epochs=10)
    assert (settings["interval"], settings["monitor"]) == ("epoch", "val_loss")
    scheduler = settings["scheduler"]
    assert isinstance(scheduler, ReduceLROnPlateau)
    found = []
    for loss in [3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]:
        scheduler.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    # Patience 1: the second loss in a row that is no lower reduces the rate.
    expected = [0.01] * 3 + [1e-3] * 2 + [1e-4] * 3 + [1e-5] * 5
    assert found == pytest.approx(expected)
