from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from detection.training.data_module import LEAST_URGENT, TrainingData
from detection.training.sample_order import SampleKey


class Niceness:
    """Samples whose value is the niceness of the process that makes them."""

    seed = 1

    def __len__(self) -> int:
        return 8

    def __getitem__(self, key: SampleKey) -> int:
        return os.nice(0)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no niceness on Windows")
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_loaders_give_way_to_a_network_on_the_same_cores(device: str) -> None:
    samples: Any = Niceness()
    data = TrainingData(
        samples, samples, batch_size=4, workers=1, training_collation=list, collation=list, filler=lambda sample: sample
    )
    trainer: Any = SimpleNamespace(
        global_step=0,
        accumulate_grad_batches=1,
        global_rank=0,
        world_size=1,
        strategy=SimpleNamespace(root_device=torch.device(device)),
    )
    data.trainer = trainer
    expected = LEAST_URGENT if device == "cpu" else os.nice(0)
    assert list(data.train_dataloader()) == [[expected] * 4] * 2
