"""How much memory a training run takes, now and at most."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

GIB = 2**30
STATM = Path("/proc/self/statm")


def memory_use(device: torch.device) -> dict[str, float]:
    """GiB of this process: `memory_gib` resident now (on Linux only), `memory_peak_gib` at most since it started.

    With a GPU also `gpu_memory_peak_gib`, the most that tensors took of it.
    """
    use = {}
    if STATM.exists():
        use["memory_gib"] = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    use["memory_peak_gib"] = peak / (GIB if sys.platform == "darwin" else 2**20)  # kilobytes but on macOS
    if device.type == "cuda":
        use["gpu_memory_peak_gib"] = torch.cuda.max_memory_allocated(device) / GIB
    return use


class MemoryMonitor(Callback):
    """Logs `memory_use` of the main process as often as the loss is logged: it should stay flat over the epochs."""

    def __init__(self) -> None:
        self._logged_step = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        self._logged_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a part of it
        if every and step % every == 0 and step != self._logged_step:  # several batches may make a step
            self._logged_step = step
            for logger in trainer.loggers:  # LightningModule.log would copy the numbers to a GPU
                logger.log_metrics(memory_use(module.device), step=step - 1)  # steps are counted from 0 there
