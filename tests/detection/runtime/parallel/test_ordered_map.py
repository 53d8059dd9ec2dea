"""The order of an ordered map, how far it computes ahead, its failures, and what is left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest

from detection.runtime.parallel.ordered_map import available_cores, map_ahead

TIMEOUT = 30


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_order_is_kept(threads: int, length: int) -> None:
    assert list(map_ahead(lambda item: item * 2, range(length), threads=threads, ahead=2)) == list(
        range(0, 2 * length, 2)
    )


def test_order_is_kept_where_a_later_item_is_done_first() -> None:
    second_is_done = threading.Event()

    def wait_for_the_second(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(TIMEOUT)
        else:
            second_is_done.set()
        return item

    assert list(map_ahead(wait_for_the_second, range(5), threads=2, ahead=2)) == list(range(5))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 3), (4, 2)])
def test_is_a_bounded_number_of_items_ahead(threads: int, ahead: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    for item in map_ahead(lambda item: item, items(), threads=threads, ahead=ahead):
        assert len(taken) == min(20, item + 1 + ahead)


def test_goes_on_while_a_result_is_used() -> None:
    made = [threading.Event() for _ in range(3)]
    with closing(map_ahead(lambda item: made[item].set(), range(3), threads=1, ahead=2)) as results:
        next(results)
        assert made[2].wait(TIMEOUT)  # without anybody asking for it


def test_without_threads_nothing_is_made_ahead() -> None:
    made: list[int] = []
    results = map_ahead(made.append, range(3), threads=0, ahead=2)
    next(results)
    assert made == [0]


@pytest.mark.parametrize("failure", [ValueError("a fault"), KeyboardInterrupt()])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_a_failure_comes_in_its_place(threads: int, failure: BaseException) -> None:
    def fail_at_two(item: int) -> int:
        if item == 2:
            raise failure
        return item

    found: list[int] = []
    with pytest.raises(type(failure)):
        found.extend(map_ahead(fail_at_two, range(5), threads=threads, ahead=3))
    assert found == [0, 1]


def test_closing_starts_nothing_more_and_waits_for_nothing() -> None:
    started: list[int] = []
    release = threading.Event()

    def work(item: int) -> int:
        started.append(item)
        if item == 1:
            assert release.wait(TIMEOUT)
        return item

    results = map_ahead(work, count(), threads=1, ahead=5)
    assert next(results) == 0
    results.close()
    release.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("ThreadPoolExecutor"):
            thread.join(TIMEOUT)
            assert not thread.is_alive()
    assert started in ([0], [0, 1])


def test_cores() -> None:
    assert available_cores() >= 1
