"""Schedules of the learning rate: by which factor the configured rate is multiplied at each point of a run."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from detection.structures.ranges import require_range


class Schedule(ABC):
    """The way in which the learning rate changes during a run.

    Attributes:
        follows_length: True if the rate at a step depends on how long the run is. Such a run cannot be resumed with
            another length.
    """

    follows_length: ClassVar[bool] = True

    @abstractmethod
    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:
        """Return a scheduler for Lightning, for a run of `steps` optimiser steps in `epochs` epochs."""


@dataclass(frozen=True, kw_only=True)
class CosineSchedule(Schedule):
    """The rate rises linearly and then falls to zero along half a cosine; this suits short runs.

    Args:
        warmup_fraction: share of the steps in which the rate rises, 0-1.
    """

    warmup_fraction: float = 0.1

    def __post_init__(self) -> None:
        require_range(0, 1, warmup_fraction=self.warmup_fraction)

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:  # noqa: ARG002
        return {"scheduler": LambdaLR(optimizer, lambda step: self.factor(step / steps)), "interval": "step"}

    def factor(self, progress: float) -> float:
        """Return the factor on the highest rate, 0-1, when the share `progress` (0-1) of the run is done."""
        if progress < self.warmup_fraction:
            return max(progress / self.warmup_fraction, 0.01)
        return 0.5 + 0.5 * math.cos(
            math.pi * min(1.0, (progress - self.warmup_fraction) / max(1 - self.warmup_fraction, 1e-9))
        )


@dataclass(frozen=True, kw_only=True)
class ExponentialSchedule(Schedule):
    """The rate drops by a fixed share at regular intervals; GoogLeNet: 4% every 8 epochs (arXiv 1409.4842, section 6).

    Args:
        decrease: share of the rate by which it drops, 0-1.
        every_epochs: number of epochs between two drops.
    """

    follows_length = False

    decrease: float = 0.04
    every_epochs: int = 8

    def __post_init__(self) -> None:
        require_range(0, 1, decrease=self.decrease)
        require_range(1, 1e9, every_epochs=self.every_epochs)

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:
        steps_apart = self.every_epochs * steps / epochs
        scheduler = LambdaLR(optimizer, lambda step: (1 - self.decrease) ** int(step / steps_apart + 1e-9))
        return {"scheduler": scheduler, "interval": "step"}


@dataclass(frozen=True, kw_only=True)
class PlateauSchedule(Schedule):
    """The rate drops to a tenth when the validation loss no longer falls, as for AlexNet (NIPS 2012, section 5).

    Args:
        patience: number of validations without a lower loss before the rate drops; the authors decided by eye.
        reductions: largest number of drops.
    """

    follows_length = False

    patience: int = 3
    reductions: int = 3

    def __post_init__(self) -> None:
        require_range(0, 1e9, patience=self.patience, reductions=self.reductions)

    def build(self, optimizer: Optimizer, *, steps: int, epochs: float) -> LRSchedulerConfigType:  # noqa: ARG002
        lowest = [group["lr"] * 0.1**self.reductions for group in optimizer.param_groups]
        scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=self.patience, min_lr=lowest, eps=0)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": "val_loss"}
