"""Batches are of few sizes, and CUDA graphs compute what the network computes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from classifier.scoring.cuda_graphs import BatchGraphs, next_size
from classifier.scoring.execution import EXECUTIONS, Execution
from classifier.scoring.loaded_network import LoadedNetwork, default_batch_size
from classifier.scoring.score import Cascade, Views, score_regions


def sizes(count: int, batch_size: int) -> list[int]:
    batches = []
    while count > 0:
        batches.append(next_size(count, batch_size))
        count -= batches[-1]
    return batches


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"),
    [
        (1400, 256, [256] * 5 + [128]),  # 120 fill 128 to 94%
        (1400, 512, [512, 512, 256, 128]),  # 376 fill only 73% of 512
        (1400, 704, [704, 704]),
        (96, 128, [128]),  # just three quarters
        (95, 128, [64, 32]),
        (256, 256, [256]),
        (1, 256, [32]),  # nothing is smaller
        (5, 3, [3, 1, 1]),
        (2, 1, [1, 1]),
    ],
)
def test_sizes_of_batches(count: int, batch_size: int, expected: list[int]) -> None:
    assert sizes(count, batch_size) == expected


def test_little_is_wasted() -> None:
    for count in range(1, 3000):
        padding = sum(sizes(count, 256)) - count
        assert 0 <= padding <= max(32, count / 3)  # a quarter of what is computed
    assert {size for count in range(1, 3000) for size in sizes(count, 256)} == {256, 128, 64, 32}


def test_batches_suit_the_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [default_batch_size(cpu, "float32", side) for side in (64, 112, 224)] == [64, 32, 8]
    assert [default_batch_size(cpu, "int8", side) for side in (64, 112, 224, 2000)] == [98, 32, 8, 1]
    assert [default_batch_size(gpu, "bfloat16", side) for side in (224, 64, 2000)] == [704, 8624, 64]


def test_each_thread_gets_the_outputs_of_its_batch() -> None:
    inputs, outputs = torch.zeros(1), torch.zeros(1)

    def replay() -> None:
        time.sleep(0.001)
        outputs.copy_(inputs)

    graphs = BatchGraphs()
    captured: Any = SimpleNamespace(graph=SimpleNamespace(replay=replay), inputs=inputs, outputs=outputs)
    graphs.captured["outputs", inputs.shape] = captured
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda number: graphs("outputs", torch.neg, torch.tensor([float(number)])), range(40))
    assert [result.item() for result in results] == [*range(40)]


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def load(weights: Path, execution: Execution = "fused") -> LoadedNetwork:
    return LoadedNetwork(str(weights), device="cuda", precision="float32", batch_size=8, execution=execution)


def random_regions(count: int) -> torch.Tensor:
    return torch.randn((count, 3, 32, 32), generator=torch.Generator().manual_seed(0)).cuda() * 50


@needs_gpu
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_executions_agree_on_a_gpu(tiny_weights: Path, execution: Execution, mirrored: bool) -> None:
    """To 5% of a standard deviation, since cuDNN rounds the factors of its products to the 11 bits of TensorFloat-32.

    That rounding, imitated on a CPU, moves features by up to 2.4%.
    """
    networks = [load(tiny_weights, name) for name in (execution, "plain")]
    regions = random_regions(21)
    for order in (regions, regions.flip(0), regions[:13]):  # eager, captured, replayed
        inputs = [network.input_format.convert(order) for network in networks]
        logits = [
            network.outputs(each, mirrored=mirrored).logits for network, each in zip(networks, inputs, strict=True)
        ]
        features = [network.features(each) for network, each in zip(networks, inputs, strict=True)]
        for actual, expected in (logits, features):
            torch.testing.assert_close(actual, expected, atol=0.05 * float(expected.std()), rtol=0)
    graphs = networks[0].graphs
    if graphs is not None:
        assert graphs.usable
        assert any(captured is not None for captured in graphs.captured.values())


@needs_gpu
def test_a_function_that_cannot_be_captured_is_computed(tiny_weights: Path) -> None:
    network = load(tiny_weights)
    inputs = network.input_format.convert(random_regions(16))
    expected = network.outputs(inputs[:8]).logits
    inner = network.network

    def waiting(inputs: torch.Tensor) -> object:
        torch.cuda.synchronize()
        return inner(inputs)

    network.network = waiting
    with pytest.warns(RuntimeWarning, match="no CUDA graph"):
        logits = network.outputs(inputs).logits
    torch.testing.assert_close(logits[:8], expected)


@needs_gpu
@pytest.mark.filterwarnings("error:no CUDA graph")
def test_graphs_outlive_those_of_other_networks(tiny_weights: Path) -> None:
    logits = []
    for clears in (False, True, False):
        for network in [load(tiny_weights)] * 2:
            inputs = network.input_format.convert(random_regions(8))
            logits += [network.outputs(inputs).logits for _ in range(3)]
            if clears:
                assert network.graphs is not None
                network.graphs.clear()
    for each in logits:
        torch.testing.assert_close(each, logits[0], atol=1e-3, rtol=1e-3)


@needs_gpu
def test_kernels_warp_what_networks_read(tiny_weights: Path) -> None:
    """Also with several images in a group, and in a second run, which replays graphs."""
    generator = np.random.default_rng(0)
    images = [generator.integers(256, size=(60, 80 - 9 * step, 3), dtype=np.uint8) for step in range(3)]
    corners = [generator.uniform(0, 30, size=(count, 2)) for count in (7, 0, 5)]
    boxes = [np.concatenate([each, each + 25], axis=1).astype(np.float32) for each in corners]
    for mirror in (False, True):
        plain, fused = (
            Cascade([load(tiny_weights, execution)] * 2, views=Views(mirror)) for execution in ("plain", "fused")
        )
        expected = score_regions(plain, images, boxes)
        for _ in range(3):
            for scores, plain_scores in zip(score_regions(fused, images, boxes), expected, strict=True):
                np.testing.assert_allclose(scores.probabilities, plain_scores.probabilities, atol=5e-3)
        (nothing,) = score_regions(fused, images[:1], [np.zeros((0, 4), np.float32)])
        assert len(nothing.probabilities) == 0
