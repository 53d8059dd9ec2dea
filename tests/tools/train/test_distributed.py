"""Tests of runs with several processes: two that train together, and one that loads images.

The first test runs the command that a user runs. In the others the processes are forked from one that has imported
everything. The runs of one process that they are compared to are in the process of the test.
"""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from detection.runtime.child_process import child_environment, module_command
from detection.training.checkpoints import read_checkpoint
from tests.tools.train.forked_training import loaded_pictures, train
from tools.train import train_classifier

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

TWO_PROCESSES = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(name="options", scope="module")
def small_experiment(tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the options of a run on 12 pictures, without batch normalisation, which would see only half a batch."""
    settings = yaml.safe_load((ROOT / "configs" / "tiny_imagenet" / "tiny_imagenet.yaml").read_text())
    settings["network"]["init_args"] |= {"batch_norm": False, "width_multiplier": 0.125, "dropout": 0.0}
    settings |= {"train_split": "val", "workers": 0, "input_size": 32, "context": 2, "learning_rate": 0.02}
    settings["trainer"] = {
        "max_epochs": 4,
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
    }
    path = tmp_path_factory.mktemp("distributed") / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return ["--config", str(path), "--data", str(tiny_images)]


def run_command(options: list[str], output: Path, *more: str) -> list[dict[str, str]]:
    """Run a training as a command, and return the rows of its log."""
    command = module_command("tools.train_classifier", "fit", *options, "--output", str(output), *more)
    environment = child_environment() | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return log(output)


def run(options: list[str], output: Path, *more: str, processes: int = 1) -> list[dict[str, str]]:
    """Run a training in forked processes, and return the rows of its log."""
    done = train(["fit", *options, "--output", str(output), *more], log_file(output), processes=processes)
    assert done.statuses == [0] * processes, done.printed[-3000:]
    return log(output)


def log_file(output: Path) -> Path:
    """Return the file for what a training prints."""
    return output.with_name(f"{output.name}.log")


def run_here(options: list[str], output: Path, *more: str) -> list[dict[str, str]]:
    """Run a training of one process in this process, and return the rows of its log."""
    assert train_classifier.main(["fit", *options, "--output", str(output), *more]) == 0
    return log(output)


def log(output: Path) -> list[dict[str, str]]:
    """Return the rows of the last log in the folder of a training."""
    with sorted(output.glob("log/version_*/metrics.csv"))[-1].open() as file:
        return list(csv.DictReader(file))


class Run(NamedTuple):
    """The rows of the log of a training, and its last checkpoint."""

    rows: list[dict[str, str]]
    checkpoint: dict[str, Any]


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name)]


@pytest.fixture(scope="module")
def alone(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one process, with batches of four pictures."""
    output = tmp_path_factory.mktemp("alone")
    return Run(run_here(options, output, "--batch_size", "4"), read_checkpoint(output / "last.ckpt"))


def test_two_processes_learn_what_one_does(options: list[str], alone: Run, tmp_path: Path) -> None:
    shared = run_command(options, tmp_path / "shared", "--batch_size", "2", *TWO_PROCESSES)
    assert len(column(alone.rows, "train_loss")) == len(column(shared, "train_loss")) == 4 * 3
    for name in ("val_loss", "val_top1", "val_top5"):  # over all of the split, in whatever shares it was measured
        assert column(shared, name) == pytest.approx(column(alone.rows, name), rel=1e-4)
    assert_same_weights(alone.checkpoint, read_checkpoint(tmp_path / "shared" / "last.ckpt"))


def assert_same_weights(single: dict[str, Any], double: dict[str, Any]) -> None:
    """Check that two runs ended with the same weights but for rounding, after training had moved them."""
    assert double["global_step"] == single["global_step"] == 12
    for kind in ("state_dict", "current_model_state"):  # the averaged weights, and the last ones
        for name, value in single[kind].items():
            torch.testing.assert_close(double[kind][name], value, rtol=1e-3, atol=1e-3)
    moved = max(
        float((single["current_model_state"][name] - value).abs().max()) for name, value in single["state_dict"].items()
    )
    assert moved > 1e-2  # so the comparison is not one of initial weights


def test_two_processes_go_on_with_what_one_began(options: list[str], tmp_path: Path) -> None:
    """Each of two processes takes half of the batches, and the schedule does not follow the length of the run."""
    constant = [*options, "--schedule", "detection.training.schedules.ExponentialSchedule"]
    alone = run_here(constant, tmp_path / "alone", "--batch_size", "4")
    run_here(constant, tmp_path / "begun", "--batch_size", "4", "--trainer.max_epochs", "2")
    last = ["--ckpt_path", str(tmp_path / "begun" / "last.ckpt")]
    shared = run(constant, tmp_path / "shared", "--batch_size", "2", *TWO_PROCESSES, *last, processes=2)
    assert len(column(shared, "train_loss")) == 6
    assert column(shared, "val_loss") == pytest.approx(column(alone, "val_loss")[2:], rel=1e-4)
    assert read_checkpoint(tmp_path / "shared" / "last.ckpt")["global_step"] == 12
    refused = train(["fit", *constant, "--batch_size", "4", *TWO_PROCESSES, *last], tmp_path / "refused.log")
    assert refused.statuses == [1]
    line = refused.printed.strip().splitlines()[-1]
    assert line.startswith(f"detect-train: {last[1]}: expected world_size 1 as in the run that wrote it, got 2; ")
    assert "Traceback" not in refused.printed


def test_uneven_shares_with_batch_normalisation(options: list[str], tiny_images: Path, tmp_path: Path) -> None:
    # 11 pictures are shares of 6 and 5: with batches of 5 the first process has a batch more, but for the filler.
    copy = shutil.copytree(tiny_images, tmp_path / "data")
    annotations = copy / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    annotations.write_text("".join(annotations.read_text().splitlines(keepends=True)[:11]))
    uneven = [*options, "--data", str(copy), "--network.init_args.batch_norm", "true", "--trainer.max_epochs", "1"]
    for batch_size in ("3", "5"):
        shared = run(uneven, tmp_path / batch_size, "--batch_size", batch_size, *TWO_PROCESSES, processes=2)
        top1 = column(shared, "val_top1")[-1]
        assert round(top1 * 11) == pytest.approx(top1 * 11, abs=1e-4)  # of 11, not of 12


def test_resumes_after_a_killed_loader_process(options: list[str], alone: Run, tmp_path: Path) -> None:
    more = ["--batch_size", "4", "--workers", "1", "--checkpoint_steps", "4"]
    whole = column(alone.rows, "train_loss")  # without a loader process, which changes nothing
    assert len(whole) == 12

    output = tmp_path / "killed"
    done = train(["fit", *options, *more, "--output", str(output)], log_file(output), killed_at=9)
    assert done.statuses == [1]
    message = done.printed.strip().splitlines()[-1]
    assert message.startswith("detect-train: a loader process was killed")
    assert str(output / "last.ckpt") in message
    assert "Traceback" not in done.printed

    saved = read_checkpoint(output / "last.ckpt")["global_step"]
    assert saved in (3, 4)  # depends on how far the loader was ahead
    rest = column(run(options, output, *more, "--ckpt_path", str(output / "last.ckpt")), "train_loss")
    assert rest == whole[saved:]


def test_resumes_after_one_of_two_processes_is_killed(options: list[str], alone: Run, tmp_path: Path) -> None:
    more = ["--batch_size", "2", "--checkpoint_steps", "4", *TWO_PROCESSES]
    output = tmp_path / "killed"
    arguments = ["fit", *options, *more, "--output", str(output)]  # the second process loads the last position, 11
    assert train(arguments, log_file(output), processes=2, killed_at=11).statuses[1] == -signal.SIGKILL
    loaded = [loaded_pictures(log_file(output), rank) for rank in range(2)]
    first, second = ({line for line in lines if line.startswith("0 ")} for lines in loaded)
    assert len(first) == len(second) == 6  # each process loads half of the files, and none both
    assert not first & second
    assert read_checkpoint(output / "last.ckpt")["global_step"] in (3, 4)
    rest = run(options, output, *more, "--ckpt_path", str(output / "last.ckpt"), processes=2)
    assert column(rest, "val_loss") == pytest.approx(column(alone.rows, "val_loss")[-3:], rel=1e-4)
    assert_same_weights(alone.checkpoint, read_checkpoint(output / "last.ckpt"))
