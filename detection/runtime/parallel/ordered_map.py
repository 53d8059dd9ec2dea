"""An ordered map in threads: while a result is used, the next ones are computed."""

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
    """Yield `function(item)` of each item in order, while threads compute the results of the next items.

    An exception of `function` is raised in place of its result and ends the map; to continue after a failure, let the
    function return the error. When the generator is closed, items that have not been started are dropped. Threads only
    help if `function` releases the interpreter's lock, as OpenCV does.

    Args:
        function: called by several threads at the same time if `threads` is above 1.
        items: read one by one, as they are needed.
        threads: the number of threads. With 0, the caller's thread computes each result when it is asked for.
        ahead: the largest number of results that are computed ahead, at least 1.
        prepare: called once in each thread before its first item.
    """
    if threads < 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads, initializer=prepare)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
