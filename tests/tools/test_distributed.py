"""Two processes on one machine learn what a single one does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from classifier.checkpoints import read_checkpoint

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(name="options", scope="module")
def small_experiment(tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a run on 12 pictures; without batch normalisation, whose statistics would be those of half a batch."""
    settings = yaml.safe_load((ROOT / "configs" / "tiny_imagenet.yaml").read_text())
    settings["network"]["init_args"] |= {"batch_norm": False, "width_multiplier": 0.125, "dropout": 0.0}
    settings |= {"train_split": "val", "workers": 0, "input_size": 32, "context": 2, "learning_rate": 0.02}
    settings["trainer"] = {"max_epochs": 4, "accelerator": "cpu", "log_every_n_steps": 1, "enable_progress_bar": False}
    path = tmp_path_factory.mktemp("distributed") / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return ["--config", str(path), "--data", str(tiny_images)]


def run(
    options: list[str], output: Path, *, devices: int, batch_size: int, action: str = "fit"
) -> list[dict[str, str]]:
    """Rows of the log."""
    strategy = "ddp" if devices > 1 else "auto"
    command = [sys.executable, "-m", "tools.train_classifier", action, *options, "--output", str(output)]
    command += ["--trainer.devices", str(devices), "--trainer.strategy", strategy, "--batch_size", str(batch_size)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with sorted(output.glob("log/version_*/metrics.csv"))[-1].open() as file:
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name)]


def test_two_processes_learn_what_one_does(options: list[str], tmp_path: Path) -> None:
    alone = run(options, tmp_path / "alone", devices=1, batch_size=4)
    shared = run(options, tmp_path / "shared", devices=2, batch_size=2)
    assert len(column(alone, "train_loss")) == len(column(shared, "train_loss")) == 4 * 3
    for name in ("val_loss", "val_top1", "val_top5"):  # over all of the split, in whatever shares it was measured
        assert column(shared, name) == pytest.approx(column(alone, name), rel=1e-4)
    one, two = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("alone", "shared"))
    assert two["global_step"] == one["global_step"] == 12
    for kind in ("state_dict", "current_model_state"):  # the averaged weights, and the last ones
        for name, value in one[kind].items():
            torch.testing.assert_close(two[kind][name], value, rtol=1e-3, atol=1e-5)
    moved = max(
        float((one["current_model_state"][name] - value).abs().max()) for name, value in one["state_dict"].items()
    )
    assert moved > 1e-3  # so the comparison is not one of initial weights
