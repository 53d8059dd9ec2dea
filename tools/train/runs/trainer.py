"""Lightning's trainer as the training commands use it, with the callbacks and logs of a run."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tqdm import tqdm

from detection.errors import InputError
from detection.runtime.command_end import Stopped
from detection.training.averaging import AveragedWeights
from detection.training.checkpoints import Checkpoints
from detection.training.module import SupervisedTraining
from detection.training.progress import show_progress
from tools.command.option_parser import as_input_errors, one_line

PROGRESS_STEPS = 20
"""Steps between two updates of the progress bar; at each update, the host waits for the loss on a GPU."""


class Progress(ProgressBar):
    """One progress bar in one process of the run, over its steps, with the time left and the measures of the last step.

    Lightning's bar starts again with each epoch, which may have few steps. This one computes the measures only when it
    is drawn again, because the host then waits for a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Open the bar, in one process of several."""
        steps = trainer.estimated_stepping_batches
        total = int(steps) if steps != float("inf") else None
        self._bar = show_progress(
            total=total, initial=trainer.global_step, unit="steps", desc="training", disable=not trainer.is_global_zero
        )

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Draw the bar again after every `PROGRESS_STEPS` steps, and after the last."""
        if self._bar is None or (trainer.global_step % PROGRESS_STEPS and trainer.global_step != self._bar.total):
            return
        if not self._bar.disable and isinstance(module, SupervisedTraining):
            measures = {name: f"{float(measure()):.3f}" for name, measure in module.measures.items()}
            self._bar.set_postfix(measures, refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


def build_trainer(
    settings: Namespace, options: dict[str, Any], extra: Sequence[Callback] = (), *, metric: str
) -> Trainer:
    """Return Lightning's trainer for a run.

    Args:
        settings: options of the command: output folder, checkpoints, averaged weights, early stopping.
        options: arguments of Lightning's `Trainer`.
        extra: further callbacks.
        metric: name of the measure in validation whose highest value makes the best checkpoint.

    Raises:
        InputError: if Lightning refuses an option.
    """
    require_steps(options)
    output = Path(settings.output)
    callbacks: list[Callback] = [
        Checkpoints(output, metric=metric, every_steps=settings.checkpoint_steps),
        LearningRateMonitor("step"),
        *extra,
    ]
    if options.get("enable_progress_bar") is not False:
        callbacks.append(Progress())
    if settings.average_decay:
        callbacks.append(AveragedWeights(settings.average_decay))
    if settings.early_stopping is not None:
        callbacks.append(EarlyStopping(metric, mode="max", patience=int(settings.early_stopping), strict=False))
    with as_input_errors("trainer"):
        return Trainer(
            **options,
            callbacks=callbacks,
            logger=build_loggers(settings.loggers, output),
            default_root_dir=output,
            use_distributed_sampler=False,  # the order of the samples is decided by `detection.training.sample_order`
        )


def build_loggers(names: Sequence[str] | None, output: Path) -> list[Logger]:
    """Return Lightning's loggers of a run: a CSV file, which detect-plot-training reads, and those of `names`.

    Without names, there is also one for TensorBoard if it is installed. Environment variables tell W&B and MLflow where
    to send what they log.

    Raises:
        InputError: naming the package that a logger needs and that is not installed.
    """
    if names is None:
        names = ["tensorboard"] if find_spec("tensorboard") is not None else []
    loggers: list[Logger] = [CSVLogger(output, name="log")]
    builders: dict[str, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoardLogger(output, name="tensorboard"),
        "wandb": lambda: WandbLogger(save_dir=output),
        "mlflow": lambda: MLFlowLogger(save_dir=str(output / "mlflow")),
    }
    # Newer versions of MLflow log into a folder only if they are told to; in a database they need further packages.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in names:
        try:
            loggers.append(builders[name]())
        except ModuleNotFoundError as error:
            raise InputError(f"loggers: expected the package {name} to be installed: {error}") from None
    return loggers


def require_steps(options: dict[str, Any]) -> None:
    """Check the numbers that Lightning accepts but then divides by, or with which it would do nothing.

    Raises:
        InputError: naming the option.
    """
    for name in ("max_epochs", "max_steps"):
        if options.get(name) == 0:
            raise InputError(f"trainer.{name}: expected a number above 0, or -1 for no limit, got 0")
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        if (value := options.get(name)) is not None and value < 1:
            raise InputError(f"trainer.{name}: expected a number above 0, got {value}")
    if (options.get("log_every_n_steps") or 0) < 0:
        raise InputError(f"trainer.log_every_n_steps: expected at least 0, got {options['log_every_n_steps']}")


@contextmanager
def naming_lightnings_errors() -> Iterator[None]:
    """Turn errors that Lightning's own code raises into an `InputError`: they are about options of the trainer.

    Lightning ends a process when it is interrupted; that becomes the interrupt again, so that the command can tell.
    """
    try:
        yield
    except SIGTERMException as ended:
        raise Stopped(signal.SIGTERM) from ended
    except SystemExit as ended:
        raise ended.__context__ if isinstance(ended.__context__, KeyboardInterrupt) else ended from None
    except (InputError, OSError):
        raise
    except Exception as error:
        last = traceback.walk_tb(error.__traceback__)
        module = [frame.f_globals.get("__name__", "") for frame, _ in last][-1]
        if (package := module.partition(".")[0]) in ("wandb", "mlflow"):
            raise InputError(f"loggers: expected {package} to be ready to log: {one_line(str(error))}") from error
        if not module.startswith("lightning.") and not isinstance(error, MisconfigurationException):
            raise
        raise InputError(f"trainer: expected a valid value: {one_line(str(error))}") from error
