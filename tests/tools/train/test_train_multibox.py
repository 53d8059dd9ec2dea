"""Tests of training, resuming and exporting MultiBox on a data set of a few pictures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from classifier.scoring.weights_file import load_weights
from detection.datasets import TinyImageNet
from detection.image import read_image
from detection.structures.boxes import box_iou
from detection.training.checkpoints import read_checkpoint
from detection.training.data_module import Share
from proposals.multibox import MultiBoxProposer
from proposals.multibox.network import MultiBox, MultiBoxOutputs
from proposals.multibox.training.batch import MosaicBatch
from proposals.multibox.training.module import MultiBoxTraining
from proposals.multibox.weights_file import load_multibox
from tools.train import train_multibox
from tools.train.runs.multibox_run import MultiBoxRun

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

QUIET = {"log_every_n_steps": 1, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(name="data", scope="module")
def bright_squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twelve dark pictures, each with one bright rectangle."""
    root = tmp_path_factory.mktemp("data") / "tiny-imagenet-200"
    (root / "val" / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = []
    for index in range(12):
        pixels = generator.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        x1, y1, width, height = generator.integers((0, 0, 18, 18), (30, 30, 32, 32))
        pixels[y1 : y1 + height, x1 : x1 + width] = 200
        PIL.Image.fromarray(pixels).save(root / "val" / "images" / f"{index}.png")
        lines.append(f"{index}.png\tn1\t{x1}\t{y1}\t{x1 + width - 1}\t{y1 + height - 1}\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines), encoding="utf-8")
    (root / "wnids.txt").write_text("n1", encoding="utf-8")
    (root / "words.txt").write_text("n1\tsquare\n", encoding="utf-8")
    return root.parent


@pytest.fixture(name="options", scope="module")
def small_experiment(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the options of a run on single pictures and on mosaics of up to two pictures."""
    settings = yaml.safe_load(Path("configs/multibox.yaml").read_text())
    layout = {"cells": 2, "insets": 0, "crop_area": 0.8, "stretch": 1.1, "cover": 0.9, "mirror": 0.5}
    settings |= {
        "train_split": "val",
        "validation_count": 12,
        "layout": layout,
        "validation_layout": {"cells": 1},
        "input_size": 64,
        "training_sizes": None,
        "head": {"width": 16, "points": 3, "hidden": 32},
        "priors": 40,
        "prior_mosaics": 60,
        "batch_size": 4,
        "workers": 0,
        "max_boxes": 5,
        "learning_rate": 0.02,
        "average_decay": 0.9,
        "checkpoint_steps": 5,
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "devices": 1, "gradient_clip_val": 20.0, **QUIET},
    }
    settings["trunk"]["init_args"]["width_multiplier"] = 0.125
    path = tmp_path_factory.mktemp("experiment") / "multibox.yaml"
    path.write_text(yaml.safe_dump(settings))
    return ["--config", str(path), "--data", str(data)]


def run(action: str, options: list[str], output: Path, *more: str) -> int:
    return train_multibox.main([action, *options, "--output", str(output), *more])


def logged(folder: Path, column: str) -> list[float]:
    with (sorted(folder.glob("log/version_*"))[-1] / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


@pytest.fixture(name="trained", scope="module")
def long_run(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that is long enough to memorise the pictures."""
    folder = tmp_path_factory.mktemp("trained")
    assert run("fit", options, folder, "--trainer.max_epochs", "60", "--trainer.check_val_every_n_epoch", "20") == 0
    return folder


def test_learns_the_pictures_by_heart(trained: Path) -> None:
    losses, recalls = logged(trained, "train_loss"), logged(trained, "val_recall")
    assert np.mean(losses[-20:]) < 0.4 * np.mean(losses[:5])
    assert recalls[-1] > 0.9  # with five boxes of forty
    assert logged(trained, "val_average_recall")[-1] > logged(trained, "val_average_recall")[0]


def test_exported_weights_propose(trained: Path, options: list[str], data: Path) -> None:
    weights = trained / "multibox.safetensors"
    assert run("export", options, trained, "--ckpt_path", str(trained / "last.ckpt"), "--weights", str(weights)) == 0
    network, description = load_multibox(weights)
    assert (description.priors, description.input_size) == (40, 64)
    assert description.training["steps"] == 180
    assert description.training["layout"]["cells"] == 2
    averaged = read_checkpoint(trained / "last.ckpt")["state_dict"]["network.output.weight"]
    torch.testing.assert_close(network.output.weight.detach(), averaged.half().float())

    propose = MultiBoxProposer(str(weights), device="cpu")
    records = TinyImageNet(data).read("val")
    first = [box_iou(record.boxes, propose(read_image(record.path)).boxes[:1])[0, 0] for record in records]
    assert np.mean(np.array(first) >= 0.5) > 0.7


def test_validation_of_a_checkpoint_repeats_that_of_the_run(
    trained: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", options, tmp_path, "--ckpt_path", str(trained / "last.ckpt")) == 0
    assert "val_recall" in capsys.readouterr().out
    assert logged(tmp_path, "val_recall") == logged(trained, "val_recall")[-1:]
    assert logged(tmp_path, "val_loss") == pytest.approx(logged(trained, "val_loss")[-1:], rel=1e-5)


class KilledError(Exception):
    """Stands for anything that ends a run at once."""


@pytest.mark.parametrize("killed_at", [4, 7])
def test_a_resumed_run_is_the_uninterrupted_one(killed_at: int, options: list[str], tmp_path: Path) -> None:
    assert run("fit", options, tmp_path / "whole") == 0
    original = MultiBoxTraining.training_step

    def killed(self: MultiBoxTraining, batch: MosaicBatch) -> torch.Tensor:
        if self.global_step == killed_at:
            raise KilledError
        return original(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiBoxTraining, "training_step", killed)
        with pytest.raises(KilledError):
            run("fit", options, tmp_path / "resumed")
    last = tmp_path / "resumed" / "last.ckpt"
    assert (saved := read_checkpoint(last)["global_step"]) == {4: 3, 7: 6}[killed_at]
    assert run("fit", options, tmp_path / "resumed", "--ckpt_path", str(last)) == 0

    losses = logged(tmp_path / "whole", "train_loss")
    assert len(losses) == 9
    assert logged(tmp_path / "resumed", "train_loss") == losses[saved:]
    whole, resumed = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "resumed"))
    for kind in ("state_dict", "current_model_state"):
        assert all(torch.equal(resumed[kind][name], value) for name, value in whole[kind].items())


def test_trunk_of_a_classifier(options: list[str], tiny_weights: Path) -> None:
    state = build(options, "--initial_weights", str(tiny_weights)).network.trunk.state_dict()
    wanted = load_weights(tiny_weights)[0].state_dict()
    assert state
    assert all(torch.equal(value, wanted[name]) for name, value in state.items())


def test_weights_of_a_multibox(trained: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    weights = trained / "start.safetensors"
    assert run("export", options, trained, "--ckpt_path", str(trained / "last.ckpt"), "--weights", str(weights)) == 0
    built = build(options, "--initial_weights", str(weights), "--seed", "7")  # another seed gives other priors
    found, wanted = (dict(network.state_dict()) for network in (built.network, load_multibox(weights)[0]))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert run("fit", options, trained / "other", "--initial_weights", str(weights), "--priors", "41") == 1
    assert f"{weights}: expected a MultiBox with the trunk, head and number of priors" in capsys.readouterr().err


def test_frozen_trunk_and_growing_pictures(
    options: list[str], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    original = MultiBox.forward

    def noting(self: MultiBox, images: torch.Tensor) -> MultiBoxOutputs:
        if self.training:
            sizes.append(images.shape[2])
        return original(self, images)

    monkeypatch.setattr(MultiBox, "forward", noting)
    more = ["--initial_weights", str(tiny_weights), "--frozen", "[trunk]", "--training_sizes", "[32, 48, 64]"]
    assert run("fit", options, tmp_path, *more) == 0
    assert sizes == [32] * 3 + [48] * 3 + [64] * 3
    wanted = load_weights(tiny_weights)[0].state_dict()
    checkpoint = read_checkpoint(tmp_path / "last.ckpt")
    for state, tolerance in (("current_model_state", 0), ("state_dict", 1e-6)):  # an average of equals is rounded
        found = {name: value for name, value in checkpoint[state].items() if name.startswith("network.trunk.")}
        assert found
        for name, value in found.items():
            torch.testing.assert_close(value, wanted[name.removeprefix("network.trunk.")], rtol=0, atol=tolerance)


def build(options: list[str], *more: str) -> MultiBoxTraining:
    parser = train_multibox.build_parser()
    module = MultiBoxRun(parser, parser.parse_args(["fit", *options, *more])).module()
    assert isinstance(module, MultiBoxTraining)
    return module


def test_initial_weights_and_priors_follow_from_the_seeds(options: list[str]) -> None:
    first, again, other = (build(options, *more).network for more in ([], [], ["--seed", "2"]))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.priors, other.priors)
    assert torch.equal(first.output.weight, other.output.weight)
    assert not torch.equal(first.output.weight, build(options, "--initial_seed", "2").network.output.weight)


def test_loss_that_is_not_finite(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = MultiBoxTraining.loss

    def broken(self: MultiBoxTraining, *arguments: Any) -> torch.Tensor:
        return original(self, *arguments) * (float("nan") if self.global_step == 4 else 1)

    monkeypatch.setattr(MultiBoxTraining, "loss", broken)
    assert run("fit", options, tmp_path) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("detect-train-multibox: step")
    assert "expected a finite loss, got nan" in message
    assert ".png" in message


PROBLEMS: list[tuple[str, list[str], str]] = [
    ("validate", [], "validate: expected --ckpt_path"),
    ("export", [], "export: expected --ckpt_path, the checkpoint, and --weights"),
    ("fit", ["--ckpt_path", "none.ckpt"], "none.ckpt: no such checkpoint"),
    ("fit", ["--initial_weights", "none.safetensors"], "none.safetensors: no such weights file"),
    ("fit", ["--frozen", "[trunk.stem]"], "frozen: expected --initial_weights, the weights that are kept"),
    ("fit", ["--priors", "5000"], "prior_mosaics: expected at least 5000 different boxes"),
    ("fit", ["--validation_split", "test"], "expected split 'train' or 'val', got 'test'"),
    ("fit", ["--trunk", "torchvision.models.AlexNet"], "expected a network of the package classifier"),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=[problem[2] for problem in PROBLEMS])
def test_what_cannot_be_done_is_said_in_one_line(
    problem: tuple[str, list[str], str], options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    action, more, reason = problem
    assert run(action, options, tmp_path, *more) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith("detect-train-multibox: ")
    assert reason in message
    assert "\n" not in message


def test_initial_weights_of_another_trunk(
    options: list[str], tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--initial_weights", str(tiny_weights), "--trunk.init_args.width_multiplier", "0.25"]
    assert run("fit", options, tmp_path, *more) == 1
    assert f"{tiny_weights}: expected a classifier with the trunk that is configured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["validate", "--priors", "41"], "expected a checkpoint of MultiBox with 41 priors, got 40"),
        (["validate", "--head.hidden", "33"], "expected a checkpoint of the network that is configured: network."),
        (["fit", "--batch_size", "2"], "expected batch_size 4 as in the run that wrote it, got 2"),
    ],
)
def test_checkpoint_of_another_run(
    more: list[str], reason: str, trained: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(trained / "last.ckpt")
    assert run(more[0], options, trained, "--ckpt_path", last, *more[1:]) == 1
    assert f"{last}: {reason}" in capsys.readouterr().err


def test_earlier_run_is_not_overwritten(trained: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "last.ckpt").read_bytes()
    assert run("fit", options, trained) == 1
    assert f"go on with --ckpt_path {trained / 'last.ckpt'}" in capsys.readouterr().err
    assert (trained / "last.ckpt").read_bytes() == before


def test_uneven_shares_count_each_picture_once(options: list[str]) -> None:
    """Twelve pictures for five processes are three pictures each, of which three in all are fillers."""
    parser = train_multibox.build_parser()
    run = MultiBoxRun(parser, parser.parse_args(["fit", *options]))
    data = run.data(run.build_module())

    shares = [Share(data.measured, filler=data.filler, rank=rank, world_size=5) for rank in range(5)]
    batches = [data.collation([share[index] for index in range(len(share))]) for share in shares]
    assert [len(share) for share in shares] == [3] * 5
    assert sum(len(batch.boxes) for batch in batches) == 12
    assert sum(int(batch.counted.any(1).sum()) for batch in batches) == 12
