"""The average of the weights over the last steps (Polyak and Juditsky 1992).

A run validates and exports the averaged weights instead of the last ones.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor, nn

EVERY_STEPS = 4
"""Number of steps between two updates of the average. Updates at every step would give nearly the same, but slower."""


class AveragedWeights(EMAWeightAveraging):
    """Lightning's exponential average of the weights, made faster; it is on the device of the network.

    All tensors enter the average in a few calls, where Lightning needs ten calls for each tensor and asks the GPU
    whether the average has begun. The batch counts of batch normalisation are copied, not averaged.

    Args:
        decay: share of the average that is left after a step, 0-1.
    """

    def __init__(self, decay: float) -> None:
        self._left = decay**EVERY_STEPS
        super().__init__(decay=self._left, update_every_n_steps=EVERY_STEPS)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Allocate the average on the device to which the network will be moved later."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Collect the tensors, which stay the same during the run, and check if a resumed run has an average."""
        if self._average_model is None:
            raise RuntimeError("AveragedWeights was not set up to fit")
        self._average, self._current = _tensors(self._average_model.module), _tensors(pl_module)
        self._begun = bool(self._average_model.n_averaged > 0)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Update the average, if enough steps have passed."""
        step = trainer.global_step  # with accumulated gradients, several batches make a step
        if self._average_model is None or step <= self._latest_update_step or not self.should_update(step - 1):
            return
        move_average(self._average, self._current, left=self._left if self._begun else 0.0)
        self._average_model.n_averaged += 1
        self._begun, self._latest_update_step = True, step


def move_average(average: Sequence[Tensor], current: Sequence[Tensor], *, left: float) -> None:
    """Set `average` in place to `left * average + (1 - left) * current`; integer tensors become those of `current`."""
    pairs = list(zip(average, current, strict=True))
    for fractional in (False, True):
        old = [tensor for tensor, _ in pairs if tensor.is_floating_point() is fractional]
        new = [update for tensor, update in pairs if tensor.is_floating_point() is fractional]
        if old and fractional:
            torch._foreach_mul_(old, left)
            torch._foreach_add_(old, torch._foreach_mul(new, 1 - left))
        elif old:
            torch._foreach_copy_(old, new)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
