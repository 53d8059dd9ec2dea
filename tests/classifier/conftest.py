"""Weights files of random networks, as members of ensembles and as single classifiers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from classifier.scoring.description import Head, NetworkDescription
from classifier.scoring.weights_file import save_weights
from tests.classifier.scoring.member_examples import Write


@pytest.fixture(name="write", scope="module")
def write_random_weights(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """`write(seed, ...)`: the file of a random network whose scores differ between regions."""
    folder, numbers = tmp_path_factory.mktemp("members"), itertools.count()

    def write(
        seed: int,
        *,
        size: int = 32,
        context: int = 2,
        width: float = 0.125,
        names: tuple[str, ...] = ("cat", "dog", "cow"),
        head: Head = "softmax",
        refines: bool = False,
        background: bool = True,
    ) -> str:
        arguments = {"batch_norm": True, "stem_stride": 4, "width_multiplier": width}
        description = NetworkDescription("classifier.googlenet.GoogLeNet", arguments, names, size, context)
        description = replace(description, head=head, box_regression=refines, background=background)
        torch.manual_seed(seed)
        network = description.build_region_network()
        with torch.no_grad():
            network.train()(torch.randn(16, 3, size, size))  # statistics that are not the initial 0 and 1
            for name, values in network.named_parameters():
                if name.endswith("linear.weight"):
                    values.normal_(0, 0.01)  # or every score would be 0 or 1
                elif name == "box_head.weight":
                    values.normal_(0, 0.1)
        path = folder / f"{next(numbers)}.safetensors"
        save_weights(path, network, description)
        return str(path)

    return write


@pytest.fixture(name="mixed", scope="module")
def members_of_all_kinds(write: Write) -> list[str]:
    """Two crops, two widths, boxes refined by the second and the last; the first shares its crop with the third."""
    return [write(1), write(2, size=48, context=4, refines=True), write(3, width=0.25), write(4, size=48, context=4),
            write(5, refines=True)]  # fmt: skip
