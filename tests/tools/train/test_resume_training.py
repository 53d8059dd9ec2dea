"""Tests that an interrupted run continues as if it had not been interrupted, and of errors with checkpoints."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from classifier.training.module import ClassifierTraining
from classifier.training.samples.region_batch import RegionBatch
from tests.tools.conftest import Logged, Options
from tools.train import train_classifier

# Lightning's own remarks on small runs: no loader processes, steps fewer than the logging interval, and the like.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


class KilledError(Exception):
    """Stands for anything that ends a run at once."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClassifierTraining.training_step

    def killed(self: ClassifierTraining, batch: RegionBatch) -> torch.Tensor:
        if self.global_step == step:
            raise KilledError
        return original(self, batch)

    monkeypatch.setattr(ClassifierTraining, "training_step", killed)


@pytest.mark.parametrize("killed_at", [8, 16, 20, 27])
def test_a_resumed_run_is_the_uninterrupted_one(
    logged: Logged, killed_at: int, uninterrupted: Path, three_epochs: Options, tmp_path: Path
) -> None:
    options = three_epochs(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(killed_at, patch)
        with pytest.raises(KilledError):
            train_classifier.main(options)
    last = tmp_path / "last.ckpt"
    saved = torch.load(last, weights_only=True)["global_step"]
    assert saved == {8: 7, 16: 14, 20: 20, 27: 21}[killed_at]
    assert train_classifier.main([*options, "--ckpt_path", str(last)]) == 0

    losses = logged(uninterrupted, "train_loss")
    assert len(losses) == 30
    assert logged(tmp_path, "train_loss") == losses[saved:]
    assert logged(tmp_path, "val_top1")[-1:] == logged(uninterrupted, "val_top1")[-1:]
    whole, resumed = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (uninterrupted, tmp_path))
    assert resumed["global_step"] == 30
    for kind in ("state_dict", "current_model_state"):
        assert all(torch.equal(resumed[kind][name], value) for name, value in whole[kind].items())
    assert sorted(path.name for path in tmp_path.glob("*.ckpt*")) == ["best.ckpt", "last.ckpt"]


def test_accumulated_gradients_resume(three_epochs: Options, tmp_path: Path) -> None:
    accumulate = ["--trainer.accumulate_grad_batches", "4"]  # 10 batches: steps of 4, 4 and 2
    losses = []
    for name in ("whole", "resumed"):
        options = [*three_epochs(tmp_path / name), *accumulate]
        if name == "resumed":
            with pytest.MonkeyPatch.context() as patch:
                kill_at(8, patch)
                with pytest.raises(KilledError):
                    train_classifier.main(options)
            last = tmp_path / name / "last.ckpt"
            assert torch.load(last, weights_only=True)["global_step"] == 7
            options += ["--ckpt_path", str(last)]
        assert train_classifier.main(options) == 0
        losses.append(torch.load(tmp_path / name / "last.ckpt", weights_only=True))
    whole, resumed = losses
    assert whole["global_step"] == resumed["global_step"] == 9
    assert all(torch.equal(resumed["state_dict"][name], value) for name, value in whole["state_dict"].items())


def test_growing_inputs_resume(three_epochs: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = ClassifierTraining.distorted_regions

    def recording(self: ClassifierTraining, batch: RegionBatch) -> torch.Tensor:
        regions = original(self, batch)
        sizes.append(regions.shape[-1])
        return regions

    monkeypatch.setattr(ClassifierTraining, "distorted_regions", recording)
    options = [*three_epochs(tmp_path), "--training_sizes", "[16, 20, 24, 32]"]
    with pytest.MonkeyPatch.context() as patch:
        kill_at(16, patch)
        with pytest.raises(KilledError):
            train_classifier.main(options)
    # Quarters of 30 steps end after 7.5, 15 and 22.5 of them.
    assert sizes == [16] * 8 + [20] * 7 + [24]
    sizes.clear()
    assert train_classifier.main([*options, "--ckpt_path", str(tmp_path / "last.ckpt")]) == 0
    assert sizes == [20] + [24] * 8 + [32] * 7  # from step 14 on


def test_plateau_schedule_resumes(three_epochs: Options, tmp_path: Path) -> None:
    plateau = ["--schedule", "detection.training.schedules.PlateauSchedule", "--schedule.patience", "0"]
    plateau += ["--learning_rate", "1e-12"]  # so that the loss stays, and the rate falls at each epoch but the first
    rates = []
    for name, epochs in (("whole", [5]), ("resumed", [2, 5])):
        for count in epochs:
            last = tmp_path / name / "last.ckpt"
            more = ["--trainer.max_epochs", str(count)] + (["--ckpt_path", str(last)] if last.exists() else [])
            assert train_classifier.main([*three_epochs(tmp_path / name), *plateau, *more]) == 0
        state = torch.load(last, weights_only=True)
        rates.append(
            (state["optimizer_states"][0]["param_groups"][0]["lr"], state["lr_schedulers"][0]["num_bad_epochs"])
        )
    assert rates[0] == rates[1]
    assert rates[0][0] == pytest.approx(1e-15)  # at epochs 2, 3 and 4, and no more


def test_resumes_without_the_initial_weights(trained: Path, three_epochs: Options, tmp_path: Path) -> None:
    initial = tmp_path / "initial.safetensors"
    shutil.copy(trained, initial)
    options = three_epochs(tmp_path)
    weights = ["--initial_weights", str(initial), "--box_regression", "true"]  # which is a new layer
    with pytest.MonkeyPatch.context() as patch:
        kill_at(8, patch)
        with pytest.raises(KilledError):
            train_classifier.main([*options, *weights])
    initial.unlink()
    more = ["--ckpt_path", str(tmp_path / "last.ckpt"), "--box_regression", "true"]
    assert train_classifier.main([*options, *more]) == 0
    groups = torch.load(tmp_path / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.05, 0.5}


def test_earlier_run_is_not_overwritten(
    uninterrupted: Path, three_epochs: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "last.ckpt").read_bytes()
    assert train_classifier.main(three_epochs(uninterrupted)) == 1
    message = capsys.readouterr().err.strip()
    assert f"go on with --ckpt_path {uninterrupted / 'last.ckpt'}" in message
    assert (uninterrupted / "last.ckpt").read_bytes() == before


def test_full_disk(
    three_epochs: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = tmp_path / "last.ckpt"
    with pytest.MonkeyPatch.context() as patch:
        kill_at(8, patch)
        with pytest.raises(KilledError):
            train_classifier.main(three_epochs(tmp_path))
    before = last.read_bytes()
    options = [*three_epochs(tmp_path), "--ckpt_path", str(last)]

    def full(_: Trainer, path: Path) -> None:  # what a file system without room does
        path.write_bytes(b"the beginning")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", full)
    assert train_classifier.main(options) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(last) in message or str(tmp_path / "best.ckpt") in message
    assert "No space left on device" in message
    assert last.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.ckpt*")] == ["last.ckpt"]


def test_a_loader_killed_while_a_checkpoint_is_written(
    three_epochs: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Trainer, path: Path) -> None:  # PyTorch raises this from a signal handler, anywhere
        path.write_bytes(b"the beginning")
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(Trainer, "save_checkpoint", interrupted)
    assert train_classifier.main(three_epochs(tmp_path)) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("detect-train: a loader process was killed")
    assert not list(tmp_path.glob("*.ckpt*"))


def test_checkpoint_of_another_network(
    experiment: list[str], uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(uninterrupted / "last.ckpt")
    options = [*experiment, "--ckpt_path", last]
    assert train_classifier.main(["validate", *options, "--network.init_args.width_multiplier", "0.25"]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{last}: expected a checkpoint of the network that is configured" in message


@pytest.mark.parametrize("content", [None, b"nothing of use", "tensors"])
def test_file_that_is_no_checkpoint(
    content: bytes | str | None, experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "foreign.ckpt"
    if content == "tensors":
        torch.save({"weights": torch.zeros(3)}, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    options = ["fit", *experiment, "--output", str(tmp_path / "run")]
    assert train_classifier.main([*options, "--ckpt_path", str(path)]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"detect-train: {path}: ")
    assert "expected a" in message
    assert "\n" not in message
