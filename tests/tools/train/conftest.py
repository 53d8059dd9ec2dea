"""A file with the weights of Caffe's GoogLeNet, for the tests of the commands that read it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from classifier.googlenet import GoogLeNet
from classifier.training.initial_weights.caffe_weights import layer_names

WriteCaffe = Callable[[Path, int], Path]

KINDS = ("weight", "bias")


@pytest.fixture(scope="session")
def write_caffe() -> WriteCaffe:
    """Return a function that writes random weights for some number of classes under Caffe's names of layers."""

    def write(path: Path, num_classes: int) -> Path:
        torch.manual_seed(0)
        state = GoogLeNet(num_classes, caffe_details=True).state_dict()
        names = [(f"{theirs}.{kind}", f"{ours}.{kind}") for theirs, ours in layer_names().items() for kind in KINDS]
        save_file({theirs: state[ours] for theirs, ours in names}, path)
        return path

    return write


@pytest.fixture(scope="session")
def caffe_file(tmp_path_factory: pytest.TempPathFactory, write_caffe: WriteCaffe) -> Path:
    """Weights for the 1,000 classes of ImageNet."""
    return write_caffe(tmp_path_factory.mktemp("caffe") / "googlenet.safetensors", 1000)
