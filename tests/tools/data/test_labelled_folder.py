"""Proposals, training and evaluation on a folder whose layout is recognised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proposals.cache.reader import ProposalCache
from tests.detection.datasets.layouts.drawn_folders import csv_text, draw, write
from tools.data import propose
from tools.measure.evaluate import command as evaluate
from tools.train import train_classifier

CLASSES = ("cat", "cup", "rocket")  # those of `tiny_weights`

# Lightning's own remarks on small runs: no loader processes, steps fewer than the logging interval, and the like.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifteen pictures, five of each class, and a table without splits."""
    root = tmp_path / "data"
    boxes = {f"{index}.png": [(CLASSES[index % 3], (10, 10, 60, 50))] for index in range(15)}
    write(root / "boxes.csv", csv_text(boxes))
    for name in boxes:
        draw(root / name)
    return root


@pytest.fixture(name="options")
def options_of_an_experiment(folder: Path, tiny_weights: Path, tmp_path: Path) -> list[str]:
    settings: dict[str, Any] = yaml.safe_load(Path("configs/tiny_imagenet/tiny_imagenet.yaml").read_text())
    del settings["dataset"]
    settings |= {"workers": 0, "output": str(tmp_path / "run"), "batch_size": 4, "input_size": 32}
    settings["network"]["init_args"]["width_multiplier"] = 0.125
    settings["trainer"] = {"max_steps": 2, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
    settings["detector"] |= {"propose": {"class_path": "proposals.whole_image.WholeImage"}, "score_threshold": 0.0}
    settings["detector"]["classify"]["init_args"] |= {"weights": str(tiny_weights), "device": "cpu"}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return ["--config", str(path), "--data", str(folder)]


def test_propose_and_evaluate(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "val.proposals"
    assert propose.main([*options, "--split", "val", "--output", str(cache)]) == 0
    assert len(ProposalCache(cache)) == 3
    report = tmp_path / "report.json"
    measured = [*options, "--proposals", str(cache), "--json", str(report), "--resamples", "20"]
    assert evaluate.main(["run", *measured]) == 0
    content = json.loads(report.read_text())
    assert (content["images"], content["objects"], sorted(content["AP"])) == (3, 3, sorted(CLASSES))
    capsys.readouterr()
    assert evaluate.main(["run", *options, "--split", "test"]) == 1
    assert "expected one of the splits train, val, got 'test'" in capsys.readouterr().err


def test_train(options: list[str], tmp_path: Path) -> None:
    assert train_classifier.main(["fit", *options]) == 0
    assert (tmp_path / "run" / "last.ckpt").is_file()
