"""Batches are computed at once; they are halved if memory runs out; a device that is lost is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from classifier.box_deltas import RegionOutputs
from classifier.region_classifier import RegionClassifier
from classifier.scoring.loaded_network import LoadedNetwork
from detection.errors import DeviceError, InputError, is_out_of_memory
from detection.runtime.device import naming_failed_device
from detection.runtime.weights_files.engine import Precision

GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)


class SmallMemory(nn.Module):
    """A network that fails on more than `limit` regions at once, and notes how many it was shown."""

    def __init__(self, network: nn.Module, limit: int, error: RuntimeError) -> None:
        super().__init__()
        self.network = network
        self.limit = limit
        self.error = error
        self.shown: list[int] = []

    def forward(self, regions: Tensor) -> RegionOutputs:
        self.shown.append(len(regions))
        if len(regions) > self.limit:
            raise self.error
        outputs: RegionOutputs = self.network(regions)
        return outputs


class InPairs(nn.Module):
    """A network whose calls wait until there is a second one at the same time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.second = threading.Barrier(2, timeout=30)

    def forward(self, regions: Tensor) -> RegionOutputs:
        self.second.wait()
        outputs: RegionOutputs = self.network(regions)
        return outputs


@pytest.fixture(name="cores", autouse=True)
def one_core() -> Iterator[Callable[[int], None]]:
    """A function that sets the number of cores; with one, which is set here, batches are computed in order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


def loaded(weights: Path, batch_size: int, precision: Precision | None = None) -> LoadedNetwork:
    return LoadedNetwork(str(weights), device="cpu", precision=precision, batch_size=batch_size)


@pytest.mark.parametrize("error", [GPU, CPU], ids=["GPU", "CPU"])
def test_halves_batches_that_do_not_fit(tiny_weights: Path, error: RuntimeError) -> None:
    inputs = torch.randn((10, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    expected = loaded(tiny_weights, 64).outputs(inputs).logits
    network = loaded(tiny_weights, 8)
    network.network = small = SmallMemory(network.network, 3, error)
    torch.testing.assert_close(network.outputs(inputs).logits, expected)
    # 8 fail, so do 4, 2 fit: five times 2.
    assert small.shown == [8, 4, 2, 2, 2, 2, 2]
    assert network.batch_size == 2  # later batches do not fail first
    small.shown.clear()
    network.outputs(inputs[:3])
    assert small.shown == [2, 2]


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_batches_at_once_give_the_same_bits(
    tiny_weights: Path, precision: Precision, cores: Callable[[int], None]
) -> None:
    inputs = torch.randn((60, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    network = loaded(tiny_weights, 16, precision)
    expected = network.outputs(inputs).logits
    network.network = InPairs(network.network)  # of four batches
    for number in (2, 3):
        cores(number)
        assert torch.equal(network.outputs(inputs).logits, expected)


def test_batches_at_once_that_do_not_fit_are_halved(tiny_weights: Path, cores: Callable[[int], None]) -> None:
    inputs = torch.randn((30, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    expected = loaded(tiny_weights, 64).outputs(inputs).logits
    network = loaded(tiny_weights, 8)
    network.network = SmallMemory(network.network, 3, CPU)
    cores(2)
    torch.testing.assert_close(network.outputs(inputs).logits, expected)
    assert network.batch_size == 2


@pytest.mark.parametrize(("precision", "shown"), [("int8", [16, 8, 4, 2, 2, 2]), ("float32", [5, 2, 2, 1])])
def test_halves_from_the_size_of_the_batch_that_failed(
    tiny_weights: Path, precision: Precision, shown: list[int]
) -> None:
    network = loaded(tiny_weights, 64, precision)
    network.network = small = SmallMemory(network.network, 2, GPU)
    assert len(network.outputs(torch.zeros(5, 3, 32, 32)).logits) == 5
    assert small.shown == shown


def test_one_region_is_tried_without_padding_before_memory_is_short(tiny_weights: Path) -> None:
    network = loaded(tiny_weights, 64, "int8")
    network.network = small = SmallMemory(network.network, 1, CPU)
    assert len(network.outputs(torch.zeros(1, 3, 32, 32)).logits) == 1
    assert small.shown == [16, 8, 4, 2, 1]


@pytest.mark.parametrize(
    ("precision", "shown"), [("int8", [16, 16, 16, 16, 16, 32, 32, 32]), ("float32", [16, 16, 9, 16, 7, 32, 32, 25])]
)
def test_few_sizes_of_batches_in_int8(tiny_weights: Path, precision: Precision, shown: list[int]) -> None:
    inputs = torch.randn((89, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    alone = loaded(tiny_weights, 1, precision).outputs(inputs).logits
    network = loaded(tiny_weights, 40, precision)
    network.network = small = SmallMemory(network.network, 40, CPU)
    # oneDNN chooses its int8 kernels by the size of the batch and the processor, and they round a value halfway between
    # two bytes differently. That moves the logits of a few regions by up to a thousandth.
    for count in (41, 23, 89):
        differences = (network.outputs(inputs[:count]).logits - alone[:count]).abs()
        assert differences.max() < (5e-3 if precision == "int8" else 1e-5)
        assert (differences < 1e-5).float().mean() > 0.95
    assert small.shown == shown
    assert len(network.outputs(inputs[:0]).logits) == 0


def test_one_region_that_does_not_fit_is_an_error_of_the_device(tiny_weights: Path) -> None:
    classify = RegionClassifier(str(tiny_weights), device="cpu")
    classify.network = SmallMemory(classify.network, 0, GPU)
    with pytest.raises(InputError, match=r"^device cpu: expected enough memory, got: CUDA out of memory"):
        classify([np.zeros((20, 20, 3), np.uint8)], [np.array([[0, 0, 9, 9]] * 3, np.float32)])


def test_other_errors_pass(tiny_weights: Path) -> None:
    network = loaded(tiny_weights, 64)
    network.network = small = SmallMemory(network.network, 2, RuntimeError("a fault of the program"))
    with pytest.raises(RuntimeError, match="a fault of the program"):
        network.outputs(torch.zeros(5, 3, 32, 32))
    assert small.shown == [16]


def test_a_real_failure_of_the_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_lost_device_is_named() -> None:
    error = torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ...")
    expected = r"^device cuda:1: the GPU stopped responding during the run: CUDA error: unspecified launch failure$"
    with pytest.raises(DeviceError, match=expected), naming_failed_device(torch.device("cuda:1")):
        raise error
    with pytest.raises(RuntimeError, match="a fault"), naming_failed_device(torch.device("cuda")):
        raise RuntimeError("a fault")
