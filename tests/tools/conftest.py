"""A data set of squares in two colours, an experiment small enough for tests, and runs of it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml

from tools import train_classifier

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


@pytest.fixture(name="data", scope="session")
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


@pytest.fixture(name="config", scope="session")
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


@pytest.fixture(name="trained", scope="session")
def trained_weights(config: Path, data: Path) -> Path:
    """Weights of a short run."""
    options = ["--config", str(config), "--data", str(data)]
    assert train_classifier.main(["fit", *options]) == 0
    checkpoint, weights = config.parent / "run" / "last.ckpt", config.parent / "trained.safetensors"
    export = ["export", *options, "--ckpt_path", str(checkpoint), "--weights", str(weights)]
    assert train_classifier.main(export) == 0
    return weights


@pytest.fixture(scope="session")
def logged() -> Callable[[Path, str], list[float]]:
    """`logged(folder, column)`: what the last part of the run in `folder` logged."""

    def read(folder: Path, column: str) -> list[float]:
        with (sorted(folder.glob("log/version_*"))[-1] / "metrics.csv").open() as file:
            return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]

    return read


@pytest.fixture(name="experiment", scope="session")
def options_of_the_experiment(config: Path, data: Path) -> list[str]:
    return ["--config", str(config), "--data", str(data)]


@pytest.fixture(scope="session")
def three_epochs(experiment: list[str]) -> Callable[[Path], list[str]]:
    """`three_epochs(output)`: the arguments that train for 30 steps, logging each."""

    def arguments(output: Path) -> list[str]:
        options = ["fit", *experiment, "--output", str(output), "--network.init_args.dropout", "0.5"]
        options += ["--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "1"]
        return [*options, "--checkpoint_steps", "7"]  # no divisor of the epoch's 10

    return arguments


@pytest.fixture(name="uninterrupted", scope="session")
def run_in_one_go(three_epochs: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert train_classifier.main(three_epochs(folder)) == 0
    return folder
