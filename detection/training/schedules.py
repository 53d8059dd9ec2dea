"""Learning rates over a run, as factors of the rate that the run is given."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


class Schedule(ABC):
    """How the learning rate changes."""

    @abstractmethod
    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:
        """What Lightning takes as a scheduler, for a run of `steps` optimiser steps in `epochs` epochs."""


class CosineSchedule(Schedule):
    """A linear rise, then half a cosine down to zero: our choice for short runs.

    Args:
        warmup_fraction: share of the steps in which the rate rises, 0-1.
    """

    def __init__(self, *, warmup_fraction: float = 0.1) -> None:
        self.warmup_fraction = warmup_fraction

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:  # noqa: ARG002
        return {"scheduler": LambdaLR(optimizer, lambda step: self.factor(step / steps)), "interval": "step"}

    def factor(self, progress: float) -> float:
        """Share of the highest rate, 0-1, at `progress` 0-1 of the run."""
        if progress < self.warmup_fraction:
            return max(progress / self.warmup_fraction, 0.01)
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - self.warmup_fraction) / (1 - self.warmup_fraction)))


class ExponentialSchedule(Schedule):
    """A fixed step down every so many epochs; GoogLeNet's by default: 4% every 8 epochs (arXiv 1409.4842, section 6).

    Args:
        decrease: share of the rate that is lost at each step down, 0-1.
        every_epochs: epochs between them.
    """

    def __init__(self, *, decrease: float = 0.04, every_epochs: int = 8) -> None:
        self.decrease = decrease
        self.every_epochs = every_epochs

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:
        steps_apart = self.every_epochs * steps / epochs
        scheduler = LambdaLR(optimizer, lambda step: (1 - self.decrease) ** int(step / steps_apart + 1e-9))
        return {"scheduler": scheduler, "interval": "step"}


class PlateauSchedule(Schedule):
    """A tenth of the rate when the validation loss no longer falls: AlexNet's, three times (NIPS 2012, section 5).

    Args:
        patience: validations without a lower loss before the rate is reduced; the paper went by eye.
        reductions: how often at most.
    """

    def __init__(self, *, patience: int = 3, reductions: int = 3) -> None:
        self.patience = patience
        self.reductions = reductions

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:  # noqa: ARG002
        lowest = [group["lr"] * 0.1**self.reductions for group in optimizer.param_groups]
        scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=self.patience, min_lr=lowest, eps=0)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": "val_loss"}
