"""Training, resuming, exporting, detecting and measuring, on a data set of a few pictures."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from classifier.region_classifier import RegionClassifier
from classifier.region_data import RegionBatch
from classifier.training import ClassifierTraining
from classifier.weights_file import load_weights
from detection.boxes import box_iou
from detection.configuration import load_detector
from detection.datasets import TinyImageNet
from detection.image import read_image
from tools import evaluate, train_classifier, training_run

# Lightning's own remarks on small runs: no loader processes, steps fewer than the logging interval, and the like.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

WNIDS = ("n01", "n02")
COLOURS = ((220, 30, 30), (30, 30, 220))


def write_picture(path: Path, label: int, generator: np.random.Generator) -> str:
    """A square in the colour of its class on noise; returns its box, as the annotations have it."""
    pixels = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    x, y = generator.integers(0, 24, 2)
    pixels[y : y + 40, x : x + 40] = COLOURS[label]
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return f"{x}\t{y}\t{x + 39}\t{y + 39}"


@pytest.fixture(name="data", scope="module")
def tiny_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny-imagenet-200"
    generator = np.random.default_rng(0)
    annotations = []
    for label, wnid in enumerate(WNIDS):
        folder = root / "train" / wnid
        names = [f"{wnid}_{index}.png" for index in range(40)]
        lines = [f"{name}\t{write_picture(folder / 'images' / name, label, generator)}" for name in names]
        (folder / f"{wnid}_boxes.txt").write_text("\n".join(lines) + "\n")
        for index in range(4):
            name = f"val_{wnid}_{index}.png"
            annotations.append(f"{name}\t{wnid}\t{write_picture(root / 'val' / 'images' / name, label, generator)}")
    (root / "val" / "val_annotations.txt").write_text("\n".join(annotations) + "\n")
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text("n01\tred square, crimson square\nn02\tblue square\n")
    return root.parent


@pytest.fixture(name="config", scope="module")
def small_experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    settings = yaml.safe_load(Path("configs/tiny_imagenet.yaml").read_text())
    settings |= {
        "batch_size": 8,
        "workers": 0,
        "output": str(folder / "run"),
        "average_decay": 0.98,
        "input_size": 32,
        "learning_rate": 0.05,
    }
    settings["network"]["init_args"]["width_multiplier"] = 0.125
    settings["trainer"] = {
        "max_epochs": 10,
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    settings["detector"]["classify"]["init_args"]["weights"] = str(folder / "trained.safetensors")
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(name="trained", scope="module")
def trained_weights(config: Path, data: Path) -> Path:
    """Weights of a short run."""
    options = ["--config", str(config), "--data", str(data)]
    assert train_classifier.main(["fit", *options]) == 0
    checkpoint, weights = config.parent / "run" / "last.ckpt", config.parent / "trained.safetensors"
    export = ["export", *options, "--ckpt_path", str(checkpoint), "--weights", str(weights)]
    assert train_classifier.main(export) == 0
    return weights


def logged(folder: Path, column: str) -> list[float]:
    with (sorted(folder.glob("log/version_*"))[-1] / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_learns_to_tell_two_colours(trained: Path, config: Path) -> None:
    assert trained.exists()
    assert logged(config.parent / "run", "val_top1")[-1] == 1


def test_exported_weights_say_where_they_come_from(trained: Path) -> None:
    _, description = load_weights(trained)
    assert description.class_names == ("red square", "blue square")
    assert description.input_size == 32
    assert description.training["seed"] == 1
    assert description.training["steps"] == 10 * 80 // 8


def test_exported_weights_are_the_averaged_ones(trained: Path, config: Path, data: Path, tmp_path: Path) -> None:
    assert trained.exists()
    best, weights = config.parent / "run" / "best.ckpt", tmp_path / "best.safetensors"  # saved in mid-training
    options = ["--config", str(config), "--data", str(data), "--ckpt_path", str(best), "--weights", str(weights)]
    assert train_classifier.main(["export", *options]) == 0
    checkpoint = torch.load(best, weights_only=True)
    exported = load_weights(weights)[0].state_dict()["stem.0.0.weight"]
    averaged = checkpoint["state_dict"]["network.trunk.stem.0.0.weight"]
    last = checkpoint["current_model_state"]["network.trunk.stem.0.0.weight"]
    assert torch.equal(exported, averaged.half().float())
    assert not torch.equal(exported, last.half().float())


def test_measures_the_whole_pipeline(trained: Path, config: Path, data: Path, tmp_path: Path) -> None:
    assert trained.exists()
    report = tmp_path / "report.json"
    options = ["--config", str(config), "--data", str(data), "--json", str(report)]
    assert evaluate.main(["run", *options, "--limit", "4"]) == 0
    result = json.loads(report.read_text())
    assert result["images"] == 4
    assert result["proposals_per_image"] > 1
    assert result["rule"] == "voc"
    assert set(result["AP"]) == {"red square", "blue square"}
    assert result["mAP"] > 0.3  # at random over boxes and classes it is next to nothing


def test_trained_weights_detect(trained: Path, data: Path, config: Path, tmp_path: Path) -> None:
    assert trained.exists()
    detector_config = tmp_path / "detector.yaml"
    detector_config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text())["detector"]))
    picture = next((data / "tiny-imagenet-200" / "val" / "images").glob("val_n02*"))
    detections = load_detector(detector_config, "cpu")(picture)
    assert detections.names[0] == "blue square"


class KilledError(Exception):
    """Stands for whatever ends a run at once."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClassifierTraining.training_step

    def killed(self: ClassifierTraining, batch: RegionBatch) -> torch.Tensor:
        if self.global_step == step:
            raise KilledError
        return original(self, batch)

    monkeypatch.setattr(ClassifierTraining, "training_step", killed)


@pytest.mark.parametrize("killed_at", [8, 16, 20, 27])
def test_a_resumed_run_is_the_uninterrupted_one(
    killed_at: int, uninterrupted: Path, experiment: list[str], tmp_path: Path
) -> None:
    options = three_epochs(experiment, tmp_path)
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


@pytest.fixture(name="experiment", scope="module")
def options_of_the_experiment(config: Path, data: Path) -> list[str]:
    return ["--config", str(config), "--data", str(data)]


def three_epochs(experiment: list[str], output: Path) -> list[str]:
    options = ["fit", *experiment, "--output", str(output), "--checkpoint_steps", "7"]  # no divisor of the epoch's 10
    return [
        *options,
        "--trainer.max_epochs",
        "3",
        "--trainer.log_every_n_steps",
        "1",
        "--network.init_args.dropout",
        "0.5",
    ]


@pytest.fixture(name="uninterrupted", scope="module")
def run_in_one_go(experiment: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert train_classifier.main(three_epochs(experiment, folder)) == 0
    return folder


def run_train(*arguments: str) -> int:
    return train_classifier.main(list(arguments))


def run_evaluate(*arguments: str) -> int:
    return evaluate.main(list(arguments))


@pytest.mark.parametrize(
    ("run", "arguments", "reason"),
    [
        (run_train, ["fit"], "wnids.txt: expected a text file"),
        (run_train, ["validate"], "wnids.txt: expected a text file"),
        (run_evaluate, ["run"], "wnids.txt: expected a text file"),
    ],
)
def test_data_that_is_not_there(
    run: Callable[..., int], arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--config", "configs/tiny_imagenet.yaml", "--data", str(tmp_path)) == 1
    message = capsys.readouterr().err.strip()
    assert reason in message
    assert str(tmp_path) in message
    assert "\n" not in message


@pytest.mark.usefixtures("trained")
def test_broken_picture_is_named(config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    broken = next((copy / "tiny-imagenet-200" / "val" / "images").iterdir())
    broken.write_bytes(b"nothing that shows")
    assert run_evaluate("run", "--config", str(config), "--data", str(copy), "--results", str(tmp_path / "kept")) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"evaluate: {broken}: expected a readable image")


@pytest.mark.parametrize(("action", "option"), [("validate", "--ckpt_path"), ("export", "--weights")])
def test_actions_that_need_a_checkpoint(
    action: str, option: str, config: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(action, "--config", str(config), "--data", str(data)) == 1
    message = capsys.readouterr().err
    assert f"{action}: expected" in message
    assert option in message


def test_loss_that_is_not_finite(
    experiment: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, seen = ClassifierTraining.distorted_regions, []

    def broken_at_step_12(self: ClassifierTraining, batch: RegionBatch) -> torch.Tensor:
        seen.append([str(path) for path in batch.paths])
        return original(self, batch) * (float("nan") if self.global_step == 12 else 1)

    monkeypatch.setattr(ClassifierTraining, "distorted_regions", broken_at_step_12)
    options = [*three_epochs(experiment, tmp_path), "--checkpoint_steps", "13"]  # the broken step must not be saved
    assert train_classifier.main(options) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "expected a finite loss, got nan" in message
    assert all(path in message for path in seen[12])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 10


def test_full_disk(
    experiment: list[str],
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = tmp_path / "last.ckpt"
    shutil.copy(uninterrupted / "last.ckpt", last)
    before = last.read_bytes()
    options = [*three_epochs(experiment, tmp_path), "--trainer.max_epochs", "4", "--ckpt_path", str(last)]

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


def test_checkpoint_of_another_network(
    config: Path, data: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(uninterrupted / "last.ckpt")
    options = ["--config", str(config), "--data", str(data), "--ckpt_path", last]
    assert run_train("validate", *options, "--network.init_args.width_multiplier", "0.25") == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{last}: expected a checkpoint of the network that is configured" in message


@pytest.mark.parametrize("content", [None, b"nothing of use", "tensors"])
def test_file_that_is_no_checkpoint(
    content: bytes | str | None, config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "foreign.ckpt"
    if content == "tensors":
        torch.save({"weights": torch.zeros(3)}, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert run_train("fit", "--config", str(config), "--data", str(data), "--ckpt_path", str(path)) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"train_classifier: {path}: ")
    assert "expected a" in message
    assert "\n" not in message


def test_starts_from_other_weights(trained: Path, experiment: list[str], uninterrupted: Path, tmp_path: Path) -> None:
    options = three_epochs(experiment, tmp_path)
    assert train_classifier.main([*options, "--initial_weights", str(trained)]) == 0
    assert logged(tmp_path, "train_loss")[0] < 0.7 * logged(uninterrupted, "train_loss")[0]


def test_earlier_run_is_not_overwritten(
    uninterrupted: Path, experiment: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (uninterrupted / "last.ckpt").read_bytes()
    assert train_classifier.main(three_epochs(experiment, uninterrupted)) == 1
    message = capsys.readouterr().err.strip()
    assert f"go on with --ckpt_path {uninterrupted / 'last.ckpt'}" in message
    assert (uninterrupted / "last.ckpt").read_bytes() == before


def test_resumes_without_the_initial_weights(trained: Path, experiment: list[str], tmp_path: Path) -> None:
    initial = tmp_path / "initial.safetensors"
    shutil.copy(trained, initial)
    options = three_epochs(experiment, tmp_path)
    weights = ["--initial_weights", str(initial), "--box_regression", "true"]  # which is a new layer
    assert train_classifier.main([*options, *weights]) == 0
    initial.unlink()
    more = ["--trainer.max_epochs", "4", "--ckpt_path", str(tmp_path / "last.ckpt"), "--box_regression", "true"]
    assert train_classifier.main([*options, *more]) == 0
    groups = torch.load(tmp_path / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.05, 0.5}


def test_plateau_schedule_resumes(experiment: list[str], tmp_path: Path) -> None:
    plateau = ["--schedule", "classifier.schedules.PlateauSchedule", "--schedule.patience", "0"]
    plateau += ["--learning_rate", "1e-12"]  # so that the loss stays, and the rate falls at each epoch but the first
    rates = []
    for name, epochs in (("whole", [5]), ("resumed", [2, 5])):
        for count in epochs:
            last = tmp_path / name / "last.ckpt"
            more = ["--trainer.max_epochs", str(count)] + (["--ckpt_path", str(last)] if last.exists() else [])
            assert train_classifier.main([*three_epochs(experiment, tmp_path / name), *plateau, *more]) == 0
        state = torch.load(last, weights_only=True)
        rates.append(
            (state["optimizer_states"][0]["param_groups"][0]["lr"], state["lr_schedulers"][0]["num_bad_epochs"])
        )
    assert rates[0] == rates[1]
    assert rates[0][0] == pytest.approx(1e-15)  # at epochs 2, 3 and 4, and no more


def test_accumulated_gradients_resume(experiment: list[str], tmp_path: Path) -> None:
    accumulate = ["--trainer.accumulate_grad_batches", "4"]  # 10 batches: steps of 4, 4 and 2
    losses = []
    for name in ("whole", "resumed"):
        options = [*three_epochs(experiment, tmp_path / name), *accumulate]
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


def test_network_from_elsewhere(experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*three_epochs(experiment, tmp_path), "--network", "torchvision.models.resnet18"]
    assert train_classifier.main(options) == 1
    assert "expected a network of the package classifier" in capsys.readouterr().err


def test_whole_images_then_regions(experiment: list[str], tmp_path: Path) -> None:
    options = three_epochs(experiment, tmp_path / "whole")
    whole = [*options[1:], "--task", "classifier.tasks.WholeImages"]
    assert train_classifier.main(["fit", *whole]) == 0
    weights = tmp_path / "whole.safetensors"
    last = str(tmp_path / "whole" / "last.ckpt")
    assert train_classifier.main(["export", *whole, "--ckpt_path", last, "--weights", str(weights)]) == 0
    network, description = load_weights(weights)
    assert not description.background
    assert network.get_parameter("linear.weight").shape[0] == 2

    regions = three_epochs(experiment, tmp_path / "regions")
    built = train_classifier.build_parser()
    settings = built.parse_args([*regions, "--initial_weights", str(weights)])
    module = training_run.build_module(settings, built.instantiate(settings))
    assert module.new_layers == {"trunk.linear.weight", "trunk.linear.bias"}
    assert torch.equal(module.network.get_parameter("trunk.stem.0.0.weight"), network.get_parameter("stem.0.0.weight"))
    groups = {group["lr"] for group in module._parameter_groups()}
    assert groups == {0.05, 0.5}


def test_initial_weights_of_another_network(
    trained: Path, experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = three_epochs(experiment, tmp_path)
    options += ["--initial_weights", str(trained), "--network.init_args.width_multiplier", "0.25"]
    assert train_classifier.main(options) == 1
    message = capsys.readouterr().err.strip()
    assert f"{trained}: expected weights of the network that is configured" in message
    assert "\n" not in message


def test_boxes_are_refined(experiment: list[str], data: Path, tmp_path: Path) -> None:
    options = [*three_epochs(experiment, tmp_path), "--box_regression", "true", "--trainer.max_epochs", "16"]
    assert train_classifier.main(options) == 0
    weights = tmp_path / "boxes.safetensors"
    export = ["--ckpt_path", str(tmp_path / "last.ckpt"), "--weights", str(weights)]
    assert train_classifier.main(["export", *options[1:], *export]) == 0
    records = TinyImageNet(data).read("val")
    shifted = [record.boxes + np.array([[3, -2, 3, -2]], np.float32) for record in records]
    scores = RegionClassifier(str(weights), device="cpu")([read_image(record.path) for record in records], shifted)
    before = [box_iou(boxes, record.boxes)[0, 0] for boxes, record in zip(shifted, records, strict=True)]
    after = []
    for record, score in zip(records, scores, strict=True):
        assert score.boxes is not None
        after.append(box_iou(score.boxes[:, record.labels[0]], record.boxes)[0, 0])
    assert np.mean(after) > np.mean(before) + 0.015


def test_whole_images_have_no_boxes(experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*three_epochs(experiment, tmp_path), "--task", "classifier.tasks.WholeImages"]
    assert train_classifier.main([*options, "--box_regression", "true"]) == 1
    assert "box_regression: expected a task with regions" in capsys.readouterr().err


def test_class_without_objects(
    experiment: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    (copy / "tiny-imagenet-200" / "train" / "n02" / "n02_boxes.txt").write_text("")
    assert train_classifier.main([*three_epochs(experiment, tmp_path), "--data", str(copy)]) == 1
    message = capsys.readouterr().err.strip()
    assert "expected objects of every class in split 'train', got none of blue square" in message


def test_early_stop(experiment: list[str], tmp_path: Path) -> None:
    options = three_epochs(experiment, tmp_path)
    frozen = ["--learning_rate", "0", "--early_stopping", "1", "--trainer.max_epochs", "9"]
    assert train_classifier.main([*options, *frozen]) == 0
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 20


def test_detector_with_other_classes(
    trained: Path, config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.exists()
    copy = shutil.copytree(data, tmp_path / "data")
    words = copy / "tiny-imagenet-200" / "words.txt"
    words.write_text(words.read_text().replace("blue square", "azure square"))
    assert run_evaluate("run", "--config", str(config), "--data", str(copy)) == 1
    message = capsys.readouterr().err.strip()
    assert "class 1 is 'blue square', not 'azure square'" in message


def test_unknown_key_is_an_error(config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(config.read_text() + "\nnonsense: 1\n")
    with pytest.raises(SystemExit, match="2"):
        run_train("fit", "--config", str(broken), "--data", str(data))
    assert "nonsense" in capsys.readouterr().err
