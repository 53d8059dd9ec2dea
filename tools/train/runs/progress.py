"""The progress bar of a training run."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from detection.training.module import SupervisedTraining


class Progress(TQDMProgressBar):
    """Lightning's, with the measures of the last step, for which it waits for a GPU only when it is redrawn."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        shown = super().get_metrics(trainer, pl_module)
        if isinstance(pl_module, SupervisedTraining):
            shown |= {name: float(measure()) for name, measure in pl_module.measures.items()}
        return shown
