"""Training, resuming, exporting, detecting and measuring, on a data set of a few pictures."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from classifier.region_data import RegionBatch
from classifier.training import RegionTraining
from classifier.weights_file import load_weights
from detection.configuration import load_detector
from tools import evaluate, train_classifier

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
    averaged = checkpoint["state_dict"]["network.stem.0.0.weight"]
    last = checkpoint["current_model_state"]["network.stem.0.0.weight"]
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
    assert set(result["half"]["AP"]) == {"red square", "blue square"}
    assert result["half"]["mAP"] > 0.3  # at random over boxes and classes it is next to nothing
    assert result["ilsvrc"]["mAP"] == result["half"]["mAP"]  # no object is small enough to make a difference


def test_trained_weights_detect(trained: Path, data: Path, config: Path, tmp_path: Path) -> None:
    assert trained.exists()
    detector_config = tmp_path / "detector.yaml"
    detector_config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text())["detector"]))
    picture = next((data / "tiny-imagenet-200" / "val" / "images").glob("val_n02*"))
    detections = load_detector(detector_config, "cpu")(picture)
    assert detections.names[0] == "blue square"


def test_resumes_where_it_stopped(config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_classifier, "CHECKPOINT_STEPS", 7)  # not a divisor of the steps, so not what ends the run
    options = ["--config", str(config), "--data", str(data), "--output", str(tmp_path)]
    assert train_classifier.main(["fit", *options, "--trainer.max_epochs", "2"]) == 0
    checkpoint = tmp_path / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 20
    assert train_classifier.main(["fit", *options, "--trainer.max_epochs", "3", "--ckpt_path", str(checkpoint)]) == 0
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 30
    assert [path.name for path in tmp_path.glob("last*")] == ["last.ckpt"]


class KilledError(Exception):
    """Stands for whatever ends a run at once."""


def test_resumes_after_a_kill(config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["fit", "--config", str(config), "--data", str(data), "--output", str(tmp_path)]
    options += ["--trainer.max_epochs", "2"]
    step = RegionTraining.training_step

    def killed_at_step_16(self: RegionTraining, batch: RegionBatch) -> torch.Tensor:
        if self.global_step == 16:
            raise KilledError
        return step(self, batch)

    monkeypatch.setattr(train_classifier, "CHECKPOINT_STEPS", 7)
    monkeypatch.setattr(RegionTraining, "training_step", killed_at_step_16)
    with pytest.raises(KilledError):
        train_classifier.main(options)
    monkeypatch.setattr(RegionTraining, "training_step", step)
    checkpoint = tmp_path / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 14
    assert train_classifier.main([*options, "--ckpt_path", str(checkpoint)]) == 0
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 20


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
    assert run_evaluate("run", "--config", str(config), "--data", str(copy)) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"evaluate: {broken}: expected a readable image")


@pytest.mark.parametrize(("action", "option"), [("validate", "--ckpt_path"), ("export", "--weights")])
def test_actions_that_need_a_checkpoint(
    action: str, option: str, config: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(action, "--config", str(config), "--data", str(data)) == 1
    assert f"{action}: expected" in capsys.readouterr().err
    assert option


def test_unknown_key_is_an_error(config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(config.read_text() + "\nnonsense: 1\n")
    with pytest.raises(SystemExit, match="2"):
        run_train("fit", "--config", str(broken), "--data", str(data))
    assert "nonsense" in capsys.readouterr().err
