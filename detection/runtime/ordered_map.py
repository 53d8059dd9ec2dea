"""Work that goes on in threads while its results are used: an ordered map, a bounded number of items ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int,
    prepare: Callable[[], object] | None = None,
) -> Generator[Result, None, None]:
    """`function(item)` of each item in their order; while one is used, the next `ahead` are made.

    What `function` raises is raised in the place of its result, which ends the map; to go on after a failure, let it
    return the error. Items that have not been started when the generator is closed never are; only the interpreter, at
    its end, waits for those that have. It pays where `function` releases the interpreter's lock, as OpenCV does.

    Args:
        function: called in several threads at once if there are several.
        items: taken as they are needed.
        threads: with 0, each result is made when it is asked for, in the thread of the caller.
        ahead: bounds the results that are kept, at least 1.
        prepare: called once in each thread before its first item.
    """
    if threads < 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads, initializer=prepare)
    coming: deque[Future[Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
