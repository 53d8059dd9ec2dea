"""Checkpoints of a training run, which an interrupted write never leaves broken.

Each is written to a temporary file that then takes its place.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from detection.errors import InputError, is_killed_loader, reason_of
from detection.runtime.atomic_write import atomic_path
from detection.training.module import SupervisedTraining

LAST, BEST = "last.ckpt", "best.ckpt"
"""The names of the checkpoints in the folder of a run."""


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt`, the state to resume from, and `best.ckpt`, the state with the highest `metric` in validation.

    Args:
        folder: folder of the checkpoints.
        metric: name of a measure in validation, of which higher values are better.
        every_steps: optimiser steps between two writes of `last.ckpt`; it is also written after each epoch.
    """

    def __init__(self, folder: Path, *, metric: str, every_steps: int) -> None:
        self.folder = folder
        self.metric = metric
        self.every_steps = every_steps
        self.best = float("-inf")
        self._saved_step = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        self._saved_step = trainer.global_step  # else a resumed run would save while gradients accumulate

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.every_steps == 0 and trainer.global_step != self._saved_step:
            self._saved_step = trainer.global_step  # with accumulated gradients, several batches make a step
            self._save(trainer, LAST)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        self._save(trainer, LAST)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        value = trainer.callback_metrics.get(self.metric)
        if value is not None and float(value) > self.best:
            self.best = float(value)
            self._save(trainer, BEST)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, which a resumed run needs."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the best value of the run that is resumed."""
        self.best = state["best"]

    def _save(self, trainer: Trainer, name: str) -> None:
        """Write a checkpoint; if the write fails or is interrupted, the earlier checkpoint stays.

        Raises:
            InputError: naming the file, if it cannot be written.
        """
        module = trainer.lightning_module
        if isinstance(module, SupervisedTraining):
            module.raise_if_diverged()
        path = self.folder / name
        try:
            with atomic_path(path) if trainer.is_global_zero else nullcontext(path) as temporary:
                trainer.save_checkpoint(temporary)  # all processes must call this; the first one writes
        except RuntimeError as error:  # torch.save turns some instances of OSError into this
            if is_killed_loader(error):
                raise
            raise InputError(f"{path}: expected a place to write to, got: {error}") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, with its tensors on the CPU.

    Raises:
        InputError: naming the file, if it is missing or not a checkpoint of a training run.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; expected a file like last.ckpt that a training run has written")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises errors of nearly any type for a broken or foreign file
        reason = reason_of(error).splitlines()[0]
        raise InputError(f"{path}: expected a checkpoint of a training run, cannot read it: {reason}") from None
    if not isinstance(content, dict) or not {"state_dict", "global_step", "loops"} <= content.keys():
        raise InputError(f"{path}: expected a checkpoint of a training run, found something else")
    return content
