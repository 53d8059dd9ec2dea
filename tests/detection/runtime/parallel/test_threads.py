"""The number of threads belongs to a thread, and is that of PyTorch where PyTorch is imported. A map shares cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from detection.runtime.parallel import threads
from detection.runtime.parallel.ordered_map import available_cores
from detection.runtime.parallel.threads import map_on_cores, set_thread_count, thread_count


def test_the_number_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [5]
    monkeypatch.setattr(torch, "get_num_threads", lambda: numbers[-1])
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    assert thread_count() == 5
    with ThreadPoolExecutor(1) as pool:
        pool.submit(set_thread_count, 3).result()
    assert numbers == [5, 3]


def test_without_pytorch_each_thread_has_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "loaded_torch", lambda: None)
    monkeypatch.setattr(threads, "_own", threading.local())  # other tests may have set the number of this thread
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(set_thread_count, 3).result()
        assert pool.submit(thread_count).result() == 3
    assert thread_count() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert thread_count() == available_cores()


@pytest.fixture(name="cores")
def set_cores() -> Iterator[Callable[[int], None]]:
    """A function that sets the number of cores that this thread may use, until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("number", "items", "expected"), [(2, 9, 1), (3, 3, 1), (5, 2, 3), (4, 1, 4), (1, 9, 1)])
def test_calls_of_a_map_share_the_cores(cores: Callable[[int], None], number: int, items: int, expected: int) -> None:
    cores(number)
    found = map_on_cores(lambda item: (item, thread_count()), range(items))
    assert found == [(item, expected) for item in range(items)]
    assert thread_count() == number
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(thread_count).result() == number  # so do threads that start later


def test_a_map_has_two_threads_for_each_core(cores: Callable[[int], None]) -> None:
    cores(2)
    all_four = threading.Barrier(4, timeout=30)  # fewer threads would wait for ever
    assert sorted(map_on_cores(lambda _: all_four.wait(), range(4))) == [0, 1, 2, 3]
    cores(1)
    assert set(map_on_cores(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}


def test_an_error_of_a_call_ends_the_map(cores: Callable[[int], None]) -> None:
    cores(2)
    with pytest.raises(ZeroDivisionError):
        map_on_cores(lambda item: 1 // item, [2, 1, 0, 1])
    assert thread_count() == 2
