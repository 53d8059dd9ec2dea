"""Tests of a grid on the feature maps of a network that tells two colours apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from classifier.alexnet import AlexNet
from classifier.region_classifier import RegionClassifier
from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_region_network, save_weights
from detection.datasets import TinyImageNet
from detection.image import read_image
from detection.structures.boxes import box_iou
from tools.train import train_box_grid

# Lightning's own remarks on the small run that trains the features.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

SHIFT = np.array([[7, -6, 7, -6]], np.float32)


def run(experiment: list[str], weights: Path, save: Path, *options: str) -> int:
    small = ["--regions", "300", "--passes", "2", "--box_grid", "2", *options]
    return train_box_grid.main([*experiment, "--weights", str(weights), "--save", str(save), *small])


def mean_iou(data: Path, weights: Path) -> float:
    """Return the mean IoU with the ground truth of regions beside it, once they are refined."""
    records = TinyImageNet(data).read("val")
    shifted = [record.boxes + SHIFT for record in records]
    scores = RegionClassifier(str(weights), device="cpu")([read_image(record.path) for record in records], shifted)
    overlaps = []
    for record, score in zip(records, scores, strict=True):
        assert score.boxes is not None
        overlaps.append(box_iou(score.boxes[:, record.labels[0]], record.boxes)[0, 0])
    return float(np.mean(overlaps))


def test_boxes_are_refined(experiment: list[str], data: Path, trained: Path, tmp_path: Path) -> None:
    few, many = tmp_path / "few.safetensors", tmp_path / "many.safetensors"
    assert run(experiment, trained, few, "--regions", "100", "--passes", "1") == 0
    assert run(experiment, trained, many, "--regions", "1500", "--passes", "60") == 0
    unrefined = mean_iou(data, few)  # after one step, whose rate is a hundredth of the highest
    assert mean_iou(data, many) > unrefined + 0.05


def test_other_weights_stay_and_the_file_says_what_it_holds(
    experiment: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "grid.safetensors"
    assert run(experiment, trained, path, "--seed", "3") == 0
    assert capsys.readouterr().out.startswith(f"{path}: ")
    _, old = load_region_network(trained)
    network, description = load_region_network(path)
    chosen = {"weights": str(trained), "seed": 3, "regions": 300, "passes": 2}
    training = old.training | {"made_by": "inception-rcnn (detect-train-box-grid)", "box_grid": chosen}
    assert description == replace(old, box_regression=True, box_grid=2, training=training)
    assert network.box_head is None
    before, after = load_file(trained), load_file(path)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert list(tmp_path.iterdir()) == [path]


def test_a_grid_is_replaced_and_the_seed_decides_it(experiment: list[str], trained: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "other"))
    assert run(experiment, trained, first) == 0
    assert run(experiment, first, again) == 0
    assert run(experiment, trained, other, "--seed", "2") == 0
    name = "box_grid.hidden.weight"
    assert torch.equal(load_file(first)[name], load_file(again)[name])
    assert not torch.equal(load_file(first)[name], load_file(other)[name])


def test_another_network_or_task(
    experiment: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = NetworkDescription("classifier.alexnet.AlexNet", {}, ("red square", "blue square"), 224, 16)
    assert isinstance(description.build(), AlexNet)
    path, save = tmp_path / "alexnet.safetensors", tmp_path / "grid.safetensors"
    save_weights(path, description.build_region_network(), description)
    assert run(experiment, path, save) == 1
    message = capsys.readouterr().err.strip()
    assert f"{path}: box_grid: expected an InceptionTrunk such as GoogLeNet, got AlexNet" in message
    assert run(experiment, trained, save, "--task", "classifier.training.tasks.WholeImages") == 1
    assert "task: expected classifier.training.tasks.Regions" in capsys.readouterr().err
    assert not save.exists()


def test_other_classes(
    experiment: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, description = load_region_network(trained)
    path = tmp_path / "others.safetensors"
    save_weights(path, network, replace(description, class_names=("cat", "dog")))
    assert run(experiment, path, tmp_path / "grid.safetensors") == 1
    assert str(path) in capsys.readouterr().err
