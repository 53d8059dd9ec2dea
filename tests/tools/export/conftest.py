"""A small detector, MultiBox and a cascade of two networks, as a YAML file and as ONNX files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from proposals.multibox.weights_file import save_multibox
from tests.proposals.multibox.test_proposer import DESCRIPTION as MULTIBOX
from tests.proposals.multibox.test_proposer import random_priors
from tests.tools.built_once import build_once
from tools.export.command import main

MEMBERS = ("first", "second")

INPUT_SIZE = 96
"""The side of the images of MultiBox in the detector, which differs from that of its weights file."""


def write_member(path: Path, description: NetworkDescription, *, seed: int) -> None:
    """Write a random network whose scores and boxes differ between regions."""
    torch.manual_seed(seed)
    network = description.build_region_network()
    size = description.input_size
    with torch.no_grad():
        network.train()(torch.randn(16, 3, size, size))  # statistics that are not the initial 0 and 1
        network.get_parameter("trunk.linear.weight").normal_(0, 0.01)
        if network.box_head is not None:
            network.box_head.weight.normal_(0, 0.05)
        if network.box_grid is not None:
            network.box_grid.last.weight.normal_(0, 0.05)
    save_weights(path, network, description)


def write_multibox(path: Path) -> None:
    """Write a random MultiBox whose boxes and confidences differ between priors."""
    torch.manual_seed(0)
    network = MULTIBOX.build()
    network.priors = random_priors(MULTIBOX.priors)
    with torch.no_grad():
        for _ in range(20):
            network.train()(torch.randn(8, 3, 64, 64))
        network.output.weight.normal_(0, 0.3)
    save_multibox(path, network, MULTIBOX)


def write_detector(folder: Path, first: NetworkDescription) -> None:
    """Write the detector of `config`, whose first member has this description."""
    write_multibox(folder / "boxes.safetensors")
    write_member(folder / "first.safetensors", first, seed=1)
    second = replace(first, input_size=48, context=4, box_regression=True, box_grid=3)
    write_member(folder / "second.safetensors", second, seed=2)
    classify = {"members": ["first.safetensors", "second.safetensors"], "cascade_thresholds": [0.3]}
    propose = {"weights": "boxes.safetensors", "input_size": INPUT_SIZE, "precision": "float32", "device": "cpu"}
    settings = {
        "propose": {"class_path": "proposals.multibox.MultiBoxProposer", "init_args": propose},
        "classify": {"class_path": "classifier.ensemble.Ensemble", "init_args": {**classify, "device": "cpu"}},
        "score_threshold": 0.0,
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture(name="config", scope="session")
def small_detector(tmp_path_factory: pytest.TempPathFactory, tiny_description: NetworkDescription) -> Path:
    """The YAML file of a detector whose weights lie beside it."""
    write = partial(write_detector, first=tiny_description)
    return build_once(tmp_path_factory, "small_detector", write) / "small.yaml"


def export(config: Path, folder: Path, *options: str) -> Path:
    assert main(["--config", str(config), "--output", str(folder), *options]) == 0
    return folder


@pytest.fixture(name="exact", scope="session")
def detector_in_float32(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_once(
        tmp_path_factory, "exact_detector", lambda folder: export(config, folder, "--precision", "float32")
    )


@pytest.fixture(name="fast", scope="session")
def detector_in_the_precisions_that_it_asks_for(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MultiBox in float32, and the others in int8."""
    return build_once(tmp_path_factory, "fast_detector", lambda folder: export(config, folder))
