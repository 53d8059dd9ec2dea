"""Lightning's trainer as the training commands use it, with the callbacks and logs of a run."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from detection.training.averaging import AveragedWeights
from detection.training.checkpoints import Checkpoints
from detection.training.module import SupervisedTraining

PROGRESS_STEPS = 20
"""Steps between two updates of the progress bar; at each update, the host waits for the loss on a GPU."""


class Progress(TQDMProgressBar):
    """Lightning's progress bar with the measures of the last step.

    It computes the measures only when the bar is drawn again, because the host then waits for a GPU. For metrics that
    are logged with `prog_bar=True`, Lightning would wait after every step.
    """

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the values that are shown behind the bar, by their names."""
        shown = super().get_metrics(trainer, pl_module)
        if isinstance(pl_module, SupervisedTraining):
            shown |= {name: float(measure()) for name, measure in pl_module.measures.items()}
        return shown


def build_trainer(
    settings: Namespace, options: dict[str, Any], extra: Sequence[Callback] = (), *, metric: str
) -> Trainer:
    """Return Lightning's trainer for a run.

    Args:
        settings: options of the command: output folder, checkpoints, averaged weights, early stopping.
        options: arguments of Lightning's `Trainer`.
        extra: further callbacks.
        metric: name of the measure in validation whose highest value makes the best checkpoint.
    """
    output = Path(settings.output)
    callbacks: list[Callback] = [
        Checkpoints(output, metric=metric, every_steps=settings.checkpoint_steps),
        LearningRateMonitor("step"),
        *extra,
    ]
    if options.get("enable_progress_bar") is not False:
        callbacks.append(Progress(PROGRESS_STEPS))
    if settings.average_decay:
        callbacks.append(AveragedWeights(settings.average_decay))
    if settings.early_stopping is not None:
        callbacks.append(EarlyStopping(metric, mode="max", patience=settings.early_stopping, strict=False))
    loggers: list[Logger] = [CSVLogger(output, name="log")]
    if find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(output, name="tensorboard"))
    return Trainer(
        **options,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=output,
        use_distributed_sampler=False,  # the order of the samples is decided by `detection.training.sample_order`
    )
