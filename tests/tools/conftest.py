"""Fixtures of the commands: a small data set, small experiments and their runs, and the page of a report."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from classifier.box_deltas import RegionOutputs
from classifier.scoring.description import NetworkDescription
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import save_weights
from detection.evaluation import DetectionMetrics
from tests.tools.report.report_examples import find_image, report_every_section, score_hostile_names
from tools.command.output_file import OutputFile
from tools.data import propose
from tools.report.page import write_page
from tools.train import train_classifier

Options = Callable[[Path], list[str]]
Logged = Callable[[Path, str], list[float]]

WNIDS = ("n01", "n02")
COLOURS = ((220, 30, 30), (30, 30, 220))

SEARCHED_WIDTH = 100
"""The pictures of `tiny_images` are 64 wide, so their boxes lie on multiples of 0.64 pixels, which are rounded."""


def write_picture(path: Path, label: int, generator: np.random.Generator) -> str:
    """Draw a square in the colour of its class on noise; return its box in the form of the annotations."""
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


def small_settings(folder: Path, *, batch_size: int, max_epochs: int) -> dict[str, Any]:
    """Return the settings of `tiny_imagenet.yaml` with a small network, for one process on the CPU."""
    settings: dict[str, Any] = yaml.safe_load(Path("configs/tiny_imagenet/tiny_imagenet.yaml").read_text())
    settings |= {"batch_size": batch_size, "workers": 0, "output": str(folder / "run"), "input_size": 32}
    settings["network"]["init_args"]["width_multiplier"] = 0.125
    settings["trainer"] = {
        "max_epochs": max_epochs,
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return settings


@pytest.fixture(name="config", scope="session")
def small_experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    settings = small_settings(folder, batch_size=8, max_epochs=10)
    settings |= {"average_decay": 0.98, "learning_rate": 0.05}
    settings["detector"]["classify"]["init_args"]["weights"] = str(folder / "trained.safetensors")
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(name="trained", scope="session")
def trained_weights(config: Path, data: Path) -> Path:
    """Train for a short time, and return the file of the weights."""
    options = ["--config", str(config), "--data", str(data)]
    assert train_classifier.main(["fit", *options]) == 0
    checkpoint, weights = config.parent / "run" / "last.ckpt", config.parent / "trained.safetensors"
    export = ["export", *options, "--ckpt_path", str(checkpoint), "--weights", str(weights)]
    assert train_classifier.main(export) == 0
    return weights


@pytest.fixture(scope="session")
def logged() -> Logged:
    """Return a function that reads a column of the log of the last part of the run in a folder."""

    def read(folder: Path, column: str) -> list[float]:
        with (sorted(folder.glob("log/version_*"))[-1] / "metrics.csv").open() as file:
            return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]

    return read


@pytest.fixture(name="experiment", scope="session")
def options_of_the_experiment(config: Path, data: Path) -> list[str]:
    return ["--config", str(config), "--data", str(data)]


@pytest.fixture(scope="session")
def three_epochs(experiment: list[str]) -> Options:
    """Return a function that gives the arguments to train for 30 steps and log each, with an output folder."""

    def arguments(output: Path) -> list[str]:
        options = ["fit", *experiment, "--output", str(output), "--network.init_args.dropout", "0.5"]
        options += ["--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "1"]
        return [*options, "--checkpoint_steps", "7"]  # no divisor of the epoch's 10

    return arguments


@pytest.fixture(name="uninterrupted", scope="session")
def run_in_one_go(three_epochs: Options, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for three epochs without interruption, and return the folder of the run."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert train_classifier.main(three_epochs(folder)) == 0
    return folder


@pytest.fixture(name="search_config", scope="session")
def small_experiment_with_selective_search(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    settings = small_settings(folder, batch_size=4, max_epochs=1) | {"train_split": "val"}
    settings["detector"]["propose"]["init_args"]["width"] = SEARCHED_WIDTH
    settings["detector"]["classify"]["init_args"] = {"weights": str(tiny_weights), "device": "cpu"}
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(name="search_options", scope="session")
def options_of_the_experiment_with_selective_search(search_config: Path, tiny_images: Path) -> list[str]:
    return ["--config", str(search_config), "--data", str(tiny_images)]


def fill(options: list[str], path: Path, *more: str) -> int:
    return propose.main([*options, "--split", "val", "--output", str(path), *more])


@pytest.fixture(name="filled", scope="session")
def filled_cache(search_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of the proposals of `search_config` on `tiny_images`."""
    path = tmp_path_factory.mktemp("cache") / "val.proposals"
    assert fill(search_options, path) == 0
    return path


def message(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the single line that a failing command prints."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def ensemble_options(
    tiny_images: Path, tiny_weights: Path, tiny_description: NetworkDescription, tmp_path: Path
) -> list[str]:
    """Return the options of a measuring command, with an ensemble of two tiny networks."""
    other = tmp_path / "other.safetensors"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        network = tiny_description.build()
        network.get_parameter("linear.weight").mul_(0.1)
    save_weights(other, network, tiny_description)
    settings = yaml.safe_load(Path("configs/tiny_imagenet/tiny_imagenet.yaml").read_text())
    settings |= {"workers": 1, "output": str(tmp_path / "run")}
    del settings["detector"]
    detector = {
        "propose": {
            "class_path": "proposals.selective_search.SelectiveSearch",
            "init_args": {"width": 80, "min_side": 8},
        },
        "classify": {
            "class_path": "classifier.ensemble.Ensemble",
            "init_args": {"members": [str(tiny_weights), str(other)], "device": "cpu", "precision": "float32"},
        },
        "score_threshold": 0.0,
    }
    for name, content in (("experiment.yaml", settings), ("ensemble.yaml", detector)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    return ["--config", str(tmp_path / "experiment.yaml"), "--detector", str(tmp_path / "ensemble.yaml"),
            "--data", str(tiny_images)]  # fmt: skip


@pytest.fixture
def regions_shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of regions that networks have scored so far, one number for each call."""
    shown: list[int] = []
    original = LoadedNetwork.outputs

    def counting(self: LoadedNetwork, inputs: torch.Tensor, *, mirrored: bool) -> RegionOutputs:
        shown.append(len(inputs))
        return original(self, inputs, mirrored=mirrored)

    monkeypatch.setattr(LoadedNetwork, "outputs", counting)
    return shown


@pytest.fixture(scope="session")
def hostile_metrics() -> DetectionMetrics:
    """A report on classes and images whose names would do harm in a page."""
    return score_hostile_names()


@pytest.fixture(scope="session")
def full_report(hostile_metrics: DetectionMetrics) -> dict[str, Any]:
    """A report with every section."""
    return report_every_section(hostile_metrics)


@pytest.fixture(scope="session")
def page_file(
    hostile_metrics: DetectionMetrics,
    full_report: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The page of the full report, with a picture missing."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(
        OutputFile(path, "test"), full_report, hostile_metrics, lambda image_id: find_image(path.parent, image_id)
    )
    return path
