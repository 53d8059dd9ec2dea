from __future__ import annotations

import itertools

import numpy as np
import pytest

from detection.training.sample_order import ResumableBatches, RowNumbers, SampleKey, normal_numbers


def batches(
    length: int = 23,
    batch_size: int = 4,
    *,
    steps: int = 0,
    accumulate: int = 1,
    rank: int = 0,
    world: int = 1,
    seed: int = 0,
) -> list[list[SampleKey]]:
    order = ResumableBatches(
        length,
        batch_size=batch_size,
        seed=seed,
        steps_done=lambda: steps,
        batches_per_step=accumulate,
        rank=rank,
        world_size=world,
    )
    drawn = list(order)
    if steps == 0:
        assert len(drawn) == len(order)
    return drawn


def test_an_epoch_holds_each_record_once() -> None:
    drawn = batches(24, 4)
    keys = list(itertools.chain(*drawn))
    assert [len(batch) for batch in drawn] == [4] * 6
    assert sorted(key.record for key in keys) == list(range(24))
    assert [key.position for key in keys] == list(range(24))
    assert {key.epoch for key in keys} == {0}
    assert [key.record for key in keys] != list(range(24))


def test_what_does_not_fill_a_batch_is_left_out() -> None:
    drawn = batches(23, 4)
    assert [len(batch) for batch in drawn] == [4] * 5
    assert len({key.record for key in itertools.chain(*drawn)}) == 20


def test_a_small_data_set_is_one_small_batch() -> None:
    assert sorted(key.record for key in batches(3, 8)[0]) == [0, 1, 2]
    assert [len(batches(5, 8, rank=rank, world=2)[0]) for rank in (0, 1)] == [2, 2]
    with pytest.raises(ValueError, match="at least 2 records"):
        batches(1, 8, world=2)


def test_epochs_and_seeds_differ() -> None:
    first, second = batches(24, 4), batches(24, 4, steps=6)
    assert {key.epoch for key in itertools.chain(*second)} == {1}
    orders = [[key.record for key in itertools.chain(*drawn)] for drawn in (first, second, batches(24, 4, seed=1))]
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_goes_on_with_the_batch_that_would_have_come_next(accumulate: int) -> None:
    whole = batches(24, 4, accumulate=accumulate) + batches(24, 4, accumulate=accumulate, steps=-(-6 // accumulate))
    for steps in range(-(-6 // accumulate)):
        rest = batches(24, 4, accumulate=accumulate, steps=steps)
        assert rest == whole[steps * accumulate : 6]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_what_one_alone_would_see(world: int) -> None:
    alone = batches(100, 4 * world, steps=30)
    shared = [batches(100, 4, steps=30, rank=rank, world=world) for rank in range(world)]
    assert [len(of_process) for of_process in shared] == [len(alone)] * world
    for batch, parts in zip(alone, zip(*shared, strict=True), strict=True):
        assert list(itertools.chain(*parts)) == batch


def test_generators_differ_by_sample_epoch_and_seed() -> None:
    keys = [SampleKey(0, 0, 5), SampleKey(0, 1, 5), SampleKey(1, 0, 5)]
    draws = [key.generator(seed).random() for key in keys for seed in (1, 2)]
    assert len(set(draws)) == 6
    assert keys[0].generator(1).random() == draws[0]


def test_place_is_looked_up_at_each_epoch() -> None:
    steps = 0
    order = ResumableBatches(8, batch_size=4, seed=0, steps_done=lambda: steps)
    epochs = []
    for _ in range(3):
        for batch in order:
            epochs.append(batch[0].epoch)
            steps += 1
    assert epochs == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(sorted(key.record for batch in order for key in batch), range(8))


def test_numbers_of_a_row_follow_from_its_place() -> None:
    keys = [SampleKey(0, 5, 0), SampleKey(0, 6, 9), SampleKey(1, 7, 0), SampleKey(0, 0, 3), SampleKey(0, 6, 1)]
    numbers = RowNumbers(keys, per_sample=3, seed=1)
    together = numbers(0, 5)
    assert together.shape == (15, 5)
    for index, key in enumerate(keys):
        alone = RowNumbers([key], per_sample=3, seed=1)(0, 5)
        assert np.array_equal(alone, together[3 * index : 3 * index + 3])
    assert np.array_equal(together[3:6], together[12:])  # the record does not matter
    assert len(np.unique(together)) == 12 * 5
    assert np.array_equal(numbers.take(np.array([8, 2]))(0, 5), together[[8, 2]])
    for other in (RowNumbers(keys, per_sample=3, seed=2)(0, 5), numbers(1, 5)):
        assert not np.isin(other, together).any()


def test_numbers_are_uniform_and_those_made_of_them_normal() -> None:
    numbers = RowNumbers([SampleKey(0, place, 0) for place in range(1000)], per_sample=1, seed=0)(0, 7)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert np.abs(np.histogram(numbers, 10, (0, 1))[0] - 700).max() < 5 * 25.1  # sqrt(7000 * 0.1 * 0.9)
    assert (np.abs(np.corrcoef(numbers.T) - np.eye(7)) < 0.16).all()  # 5 / sqrt(1000)
    normal = normal_numbers(numbers)
    assert abs(normal.mean()) < 5 / 7000**0.5
    assert abs(normal.std() - 1) < 5 / 14000**0.5
    assert np.isfinite(normal_numbers(np.zeros(1))).all()
