"""The number of threads belongs to a thread, and is that of PyTorch where PyTorch is imported."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from detection.runtime.parallel import threads
from detection.runtime.parallel.ordered_map import available_cores
from detection.runtime.parallel.threads import set_thread_count, thread_count


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
