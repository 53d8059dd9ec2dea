"""Batches are of few sizes, and a graph gives what the network gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.ensemble import Ensemble
from classifier.scoring.cuda_graphs import next_size
from classifier.scoring.execution import EXECUTIONS, Execution, use_execution
from classifier.scoring.loaded_network import LoadedNetwork, default_batch_size


def sizes(count: int, batch_size: int) -> list[int]:
    found = []
    while count > 0:
        found.append(next_size(count, batch_size))
        count -= found[-1]
    return found


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
    assert default_batch_size(cpu, "float32", 224) == 64
    assert default_batch_size(cpu, "int8", 64) == 128
    assert default_batch_size(cpu, "int8", 48) == 227
    assert default_batch_size(cpu, "int8", 224) == 32
    assert default_batch_size(gpu, "bfloat16", 224) == 704
    assert default_batch_size(gpu, "bfloat16", 64) == 8624
    assert default_batch_size(gpu, "bfloat16", 2000) == 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_executions_agree_on_a_gpu(tiny_weights: Path, execution: Execution, mirrored: bool) -> None:
    """To 5% of a standard deviation, since cuDNN rounds what it multiplies to the 11 bits of TensorFloat-32.

    That rounding, imitated on a CPU, moves features by up to 2.4%.
    """

    def load(name: Execution) -> LoadedNetwork:
        with use_execution(name):
            return LoadedNetwork(str(tiny_weights), device="cuda", precision="float32", batch_size=8)

    regions = torch.randn((21, 3, 32, 32), generator=torch.Generator().manual_seed(0)).cuda() * 50
    expected, network = load("plain"), load(execution)
    for order in (regions, regions.flip(0), regions[:13]):  # eager, captured, replayed
        inputs, plain_inputs = (each.input_format.convert(order) for each in (network, expected))
        pairs = (
            (
                network.outputs(inputs, mirrored=mirrored).logits,
                expected.outputs(plain_inputs, mirrored=mirrored).logits,
            ),
            (network.features(inputs), expected.features(plain_inputs)),
        )
        for found, right in pairs:
            torch.testing.assert_close(found, right, atol=0.05 * float(right.std()), rtol=0)
    if network.graphs is not None:
        assert network.graphs.usable
        assert any(captured is not None for captured in network.graphs.captured.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_function_that_cannot_be_captured_is_computed(tiny_weights: Path) -> None:
    with use_execution("fused"):
        network = LoadedNetwork(str(tiny_weights), device="cuda", precision="float32", batch_size=8)
    regions = network.input_format.convert(torch.randn(16, 3, 32, 32, device="cuda"))
    expected = network.outputs(regions[:8]).logits
    inner = network.network

    def waiting(inputs: torch.Tensor) -> object:
        torch.cuda.synchronize()
        return inner(inputs)

    network.network = waiting
    with pytest.warns(RuntimeWarning, match="no CUDA graph"):
        found = network.outputs(regions).logits
    torch.testing.assert_close(found[:8], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("error:no CUDA graph")
def test_graphs_outlive_those_of_other_networks(tiny_weights: Path) -> None:
    regions = torch.randn((8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).cuda() * 50
    found = []
    for clears in (False, True, False):
        with use_execution("fused"):
            networks = [LoadedNetwork(str(tiny_weights), device="cuda", precision="float32", batch_size=8)] * 2
        for network in networks:
            found += [network.outputs(network.input_format.convert(regions)).logits for _ in range(3)]
            if clears:
                assert network.graphs is not None
                network.graphs.clear()
    for each in found:
        torch.testing.assert_close(each, found[0], atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernels_warp_what_networks_read(tiny_weights: Path) -> None:
    """Also several images in a group, and a second run, which replays."""
    generator = np.random.default_rng(0)
    images = [generator.integers(256, size=(60, 80 - 9 * step, 3), dtype=np.uint8) for step in range(3)]
    corners = [generator.uniform(0, 30, size=(count, 2)) for count in (7, 0, 5)]
    boxes = [np.concatenate([one, one + 25], axis=1).astype(np.float32) for one in corners]
    for mirror in (False, True):
        classifiers = {}
        for execution in EXECUTIONS:
            with use_execution(execution):
                classifiers[execution] = Ensemble(
                    [str(tiny_weights)] * 2, device="cuda", precision="float32", mirror=mirror
                )
        expected = classifiers["plain"](images, boxes)
        for _ in range(3):
            for one, other in zip(classifiers["fused"](images, boxes), expected, strict=True):
                np.testing.assert_allclose(one.probabilities, other.probabilities, atol=5e-3)
        assert classifiers["fused"](images[:1], [np.zeros((0, 4), np.float32)])[0].probabilities.shape[0] == 0
