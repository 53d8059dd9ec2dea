"""The progress bar and the loggers of a training run."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from detection.errors import InputError
from tools.train.runs.trainer import PROGRESS_STEPS, Progress, build_loggers


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def run_of(steps: int, *, is_global_zero: bool = True) -> Any:
    """Return what the bar reads of Lightning's trainer."""
    return SimpleNamespace(estimated_stepping_batches=steps, global_step=0, is_global_zero=is_global_zero)


def draw(trainer: Any, done: int) -> None:
    """Run a bar until `done` steps are done."""
    bar, module = Progress(), LightningModule()
    bar.on_train_start(cast(Trainer, trainer), module)
    for trainer.global_step in range(1, done + 1):
        bar.on_train_batch_end(cast(Trainer, trainer), module)
    bar.on_train_end(cast(Trainer, trainer), module)


def test_one_bar_counts_the_steps_of_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    draw(run_of(2 * PROGRESS_STEPS + 1), 2 * PROGRESS_STEPS + 1)
    assert "training: 100%" in terminal.getvalue()
    assert f"{2 * PROGRESS_STEPS + 1}/{2 * PROGRESS_STEPS + 1}" in terminal.getvalue()


def test_only_the_first_process_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    draw(run_of(PROGRESS_STEPS, is_global_zero=False), PROGRESS_STEPS)
    assert terminal.getvalue() == ""


def test_without_names_there_is_a_csv_file(tmp_path: Path) -> None:
    assert isinstance(build_loggers([], tmp_path)[0], CSVLogger)


@pytest.mark.filterwarnings("ignore")  # of the packages
def test_wandb_writes_into_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    _, logger = build_loggers(["wandb"], tmp_path)
    logger.log_metrics({"train_loss": 0.25}, step=10)
    logger.finalize("success")
    cast(Any, logger).experiment.finish()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.filterwarnings("ignore")  # of the packages
def test_mlflow_writes_into_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    _, logger = build_loggers(["mlflow"], tmp_path / "run")
    logger.log_metrics({"train_loss": 0.25}, step=10)
    logger.finalize("success")
    history = cast(Any, logger).experiment.get_metric_history(logger.version, "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(10, 0.25)]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_logger_of_a_package_that_is_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, **_: object) -> None:
            raise ModuleNotFoundError(f"No module named '{name}'")

    class_name = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger"}[name]
    monkeypatch.setattr(f"tools.train.runs.trainer.{class_name}", Missing)
    with pytest.raises(InputError, match=f"loggers: expected the package {name} to be installed"):
        build_loggers([name], tmp_path)
