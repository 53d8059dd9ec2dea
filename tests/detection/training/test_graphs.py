from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detection.training.graphs import Function, TrainingGraphs, graphed

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Recording(TrainingGraphs):
    """Graphs that compute eagerly instead, and record which sizes were captured and which were computed."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 2), self.compute)
        self.captured: list[int] = []
        self.eager: list[int] = []

    def compute(self, inputs: Tensor) -> Tensor:
        self.eager.append(len(inputs))
        return inputs

    def _learns_on_a_gpu(self, inputs: Tensor) -> bool:  # noqa: ARG002
        return True

    def _capture(self, inputs: Tensor) -> Function | None:
        self.captured.append(len(inputs))
        return lambda batch: batch


def test_the_second_of_a_shape_in_a_row_is_captured() -> None:
    graphs = Recording()
    for size in (8, 8, 8, 8):
        graphs(torch.zeros(size, 2))
    assert graphs.captured == [8]
    assert graphs.eager == [8]
    assert graphs.replays == 3


def test_a_short_batch_does_not_cost_the_graph() -> None:
    graphs = Recording()
    for size in (8, 8, 3, 8, 8, 3, 8):
        graphs(torch.zeros(size, 2))
    assert graphs.captured == [8]
    assert graphs.eager == [8, 3, 3]


def test_larger_pictures_get_a_graph_in_place_of_the_old_one() -> None:
    graphs = Recording()
    for size in (4, 4, 6, 6, 6, 4):
        graphs(torch.zeros(size, 2))
    assert graphs.captured == [4, 6]
    assert graphs.eager == [4, 6, 4]


def test_all_is_computed_without_a_gpu() -> None:
    layer = nn.Linear(3, 2)
    graphs = TrainingGraphs(layer, layer)
    for _ in range(3):
        inputs = torch.randn(4, 3)
        torch.testing.assert_close(graphs(inputs), layer(inputs))
    assert graphs.replays == 0


@pytest.mark.parametrize("version", ["2.11", "later"])
def test_a_capture_forbids_nothing_to_other_threads(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []

    def graph(*_: object, capture_error_mode: str = "global") -> None:
        modes.append(capture_error_mode)

    def make(form: Function, inputs: tuple[Tensor], *, allow_unused_input: bool) -> Function:  # noqa: ARG001
        torch.cuda.graph()  # type: ignore[call-arg]
        return form

    def make_later(form: Function, inputs: tuple[Tensor], *, capture_error_mode: str = "global", **_: Any) -> Function:  # noqa: ARG001
        graph(capture_error_mode=capture_error_mode)
        return form

    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make if version == "2.11" else make_later)
    layer = nn.Linear(3, 2)
    assert graphed(layer, torch.zeros(1, 3)) is layer
    assert modes == ["thread_local"]
    assert vars(torch.cuda)["graph"] is graph


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4), nn.Linear(4, 2))
    return nn.Sequential(*layers).cuda()


@needs_gpu
@pytest.mark.parametrize("number_type", [None, torch.bfloat16])
def test_graphs_train_as_eager_steps_do(network: nn.Sequential, number_type: torch.dtype | None) -> None:
    """The last layer is not part of the graph, and the fourth batch is shorter than the others."""
    batches = [torch.randn(5 if step == 3 else 16, 3, 8, 8, device="cuda") for step in range(7)]
    found = []
    for replayed in (False, True):
        own = copy.deepcopy(network)
        features: Function = own[:-1]
        graphs = TrainingGraphs(own, features)
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for batch in batches:
            with torch.autocast("cuda", number_type, enabled=number_type is not None):
                loss = own[-1](graphs(batch) if replayed else features(batch)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            del loss  # with its graph, as Lightning does before the next step
        assert graphs.usable
        assert graphs.replays == (5 if replayed else 0)
        found.append((torch.stack(losses), own.state_dict()))
    (eager, expected), (replayed_losses, state) = found
    torch.testing.assert_close(replayed_losses, eager, atol=1e-3, rtol=1e-2)
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, atol=1e-3, rtol=1e-2)


@needs_gpu
def test_capturing_draws_no_random_numbers(network: nn.Sequential) -> None:
    graphs = TrainingGraphs(network, nn.Sequential(network, nn.Dropout()))
    batch = torch.randn(16, 3, 8, 8, device="cuda")
    graphs(batch)
    torch.cuda.manual_seed(3)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(3)
    graphs._capture(batch)
    assert torch.equal(torch.rand(4, device="cuda"), expected)


@needs_gpu
def test_what_cannot_be_captured_is_computed(network: nn.Module) -> None:
    def waits(inputs: Tensor) -> Tensor:
        torch.cuda.synchronize()
        return network(inputs)  # type: ignore[no-any-return]

    graphs = TrainingGraphs(network, waits)
    batch = torch.randn(16, 3, 8, 8, device="cuda")
    graphs(batch)
    with pytest.warns(RuntimeWarning, match="no CUDA graph"):
        graphs(batch)
    assert graphs(batch).requires_grad
    assert graphs.replays == 0


@needs_gpu
def test_memory_can_be_pinned_during_a_capture(network: nn.Module) -> None:
    """Pin memory as the thread of a loader does, at any time during a capture."""
    done, failures = threading.Event(), list[Exception]()

    def pin() -> None:
        size = 1
        while not done.is_set():
            try:
                torch.empty(size << 20).pin_memory()
            except RuntimeError as error:
                failures.append(error)
            size += 1  # or PyTorch would hand out the same memory again

    thread = threading.Thread(target=pin)
    thread.start()
    graphs = TrainingGraphs(network, network)
    for size in (16, 16, 24, 24, 32, 32):
        graphs(torch.randn(size, 3, 8, 8, device="cuda"))
    done.set()
    thread.join()
    assert graphs.usable
    assert graphs.replays == 3
    assert not failures
