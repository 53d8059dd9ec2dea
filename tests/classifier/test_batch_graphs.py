"""Batches are of few sizes, and a graph gives what the network gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from classifier.batch_graphs import next_size
from classifier.engines import ENGINES, using
from classifier.loaded_network import LoadedNetwork, default_batch_size


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
        (96, 128, [128]),  # just three quarters
        (95, 128, [64, 32]),
        (256, 256, [256]),
        (1, 256, [32]),  # nothing is smaller
        (5, 3, [3, 3]),
        (2, 1, [1, 1]),
    ],
)
def test_sizes_of_batches(count: int, batch_size: int, expected: list[int]) -> None:
    assert sizes(count, batch_size) == expected


def test_little_is_wasted() -> None:
    for count in range(1, 3000):
        padding = sum(sizes(count, 256)) - count
        assert 0 <= padding < max(32, 0.25 * count)
    assert {size for count in range(1, 3000) for size in sizes(count, 256)} == {256, 128, 64, 32}


def test_batches_suit_the_device() -> None:
    assert default_batch_size(torch.device("cpu"), 224) == 64
    assert default_batch_size(torch.device("cuda"), 224) == 256
    assert default_batch_size(torch.device("cuda"), 64) == 3136
    assert default_batch_size(torch.device("cuda"), 2000) == 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("engine", [name for name, one in ENGINES.items() if not one.compiled])
@pytest.mark.parametrize("mirrored", [False, True])
def test_engines_agree_on_a_gpu(tiny_weights: Path, engine: str, mirrored: bool) -> None:
    def load(name: str) -> LoadedNetwork:
        with using(name):
            return LoadedNetwork(str(tiny_weights), device="cuda", precision="float32", batch_size=8)

    regions = torch.randn((21, 3, 32, 32), generator=torch.Generator().manual_seed(0)).cuda() * 50
    expected, network = load("plain"), load(engine)
    for order in (regions, regions.flip(0), regions[:13]):  # eager, captured, replayed
        found = network.outputs(order, mirrored=mirrored)
        torch.testing.assert_close(
            found.logits, expected.outputs(order, mirrored=mirrored).logits, atol=2e-2, rtol=1e-2
        )
        torch.testing.assert_close(network.features(order), expected.features(order), atol=2e-2, rtol=1e-2)
    if network.graphs is not None:
        assert network.graphs.usable
        assert any(captured is not None for captured in network.graphs.captured.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_function_that_cannot_be_captured_is_computed(tiny_weights: Path) -> None:
    with using("graphs"):
        network = LoadedNetwork(str(tiny_weights), device="cuda", precision="float32", batch_size=8)
    regions = torch.randn(16, 3, 32, 32, device="cuda")
    expected = network.outputs(regions[:8]).logits
    inner = network.network

    def waiting(inputs: torch.Tensor) -> object:
        torch.cuda.synchronize()
        return inner(inputs)

    network.network = waiting
    with pytest.warns(RuntimeWarning, match="no CUDA graph"):
        found = network.outputs(regions).logits
    torch.testing.assert_close(found[:8], expected)
