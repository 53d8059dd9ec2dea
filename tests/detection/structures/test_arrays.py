"""Functions that take NumPy arrays or tensors find out which they have, and return the same kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classifier.region_classifier import RegionClassifier
from detection.structures.arrays import ArrayError, as_kind_of, as_numpy, namespace
from proposals.multibox import MultiBoxProposer
from proposals.selective_search import SelectiveSearch


def test_arrays_stay_arrays() -> None:
    array = np.arange(3)
    assert namespace(array) is np
    assert as_numpy(array) is array
    assert as_kind_of(np.zeros(1), array) is array


def test_tensors_are_converted() -> None:
    tensor = torch.arange(3)
    assert namespace(tensor) is torch
    assert as_numpy(tensor).tolist() == [0, 1, 2]
    converted = as_kind_of(torch.zeros(1), np.arange(3, dtype=np.int64))
    assert torch.equal(converted, tensor)


@pytest.mark.parametrize(
    ("image", "actual"),
    [
        (np.zeros((4, 5), np.uint8), r"uint8 \[4, 5\]"),
        (np.zeros((4, 5, 4), np.uint8), r"uint8 \[4, 5, 4\]"),
        (np.zeros((4, 5, 3), np.float32), r"float32 \[4, 5, 3\]"),
        (np.zeros((0, 5, 3), np.uint8), r"uint8 \[0, 5, 3\]"),
        ("cat.jpg", "str"),
    ],
)
@pytest.mark.parametrize("stage", ["selective search", "MultiBox", "classifier"])
def test_stages_refuse_what_is_no_image(stage: str, image: Any, actual: str, tiny_weights: Path) -> None:
    """A detector converts images, but a stage may be called on its own."""
    stages: dict[str, Callable[[], Any]] = {
        "selective search": lambda: SelectiveSearch()(image),
        "MultiBox": lambda: MultiBoxProposer("multibox_photographs.safetensors")(image),
        "classifier": lambda: RegionClassifier(str(tiny_weights))([image], [np.zeros((1, 4), np.float32)]),
    }
    with pytest.raises(ArrayError, match=rf"^an image must be an array uint8 \[H, W, 3\], got {actual}$"):
        stages[stage]()
