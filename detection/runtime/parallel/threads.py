"""The number of threads that loops and networks use; with PyTorch, its own number counts.

Each thread of the process has a number of its own, so that threads which work on different images can share the cores.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from detection.runtime.parallel.ordered_map import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS_PER_CORE = 2
"""The number of threads of `map_on_cores` for each core. If another program takes the core from one of them, another
one is ready to run, so beside other programs the map gets a larger share of the time."""

_own = threading.local()


def thread_count() -> int:
    """Return the number of threads that a computation of the calling thread may use."""
    if (torch := loaded_torch()) is not None:
        return int(torch.get_num_threads())
    return getattr(_own, "count", None) or _default_count()


def set_thread_count(count: int) -> None:
    """Set the number of threads that computations of the calling thread may use."""
    _own.count = count
    if (torch := loaded_torch()) is not None:
        torch.set_num_threads(count)


def map_on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return `function(item)` of each item, computed by threads that share the cores of the calling thread.

    A function that divides its own work between threads lets them wait for the slowest one after each step, for
    example after each layer of a network. Here they wait only once, at the end. With a single item, or for a caller
    that has one core, the caller computes all itself.

    Args:
        function: called by several threads at the same time. `thread_count` is the number that each call may use.
        items: the arguments of the calls; the results have the same order.
    """
    cores = thread_count()
    threads = min(THREADS_PER_CORE * cores, len(items))
    if cores == 1 or threads < 2:
        return [function(item) for item in items]
    try:
        with ThreadPoolExecutor(threads, initializer=set_thread_count, initargs=(-(-cores // threads),)) as pool:
            return list(pool.map(function, items))
    finally:
        set_thread_count(cores)  # because PyTorch gives the number that was set last to threads that start later


def loaded_torch() -> Any:
    """Return the module `torch` if something in this process has imported it, or else None."""
    return sys.modules.get("torch")


def _default_count() -> int:
    """Return the number that the environment variable `OMP_NUM_THREADS` sets, or else the number of cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) > 0 else available_cores()
