"""The order in which a training run sees its samples: a function of the seed and of nothing else.

Not of the number of loader processes, nor of the number of machines, nor of whether the run was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from torch.utils.data import Sampler

SMALLEST = 2.0**-54
"""Half of the step between uniform numbers, in place of 0."""

NUMBERS_A_BLOCK = 4
"""Of 64 bits, that a Philox generator makes at each count."""


class SampleKey(NamedTuple):
    """Which sample: `record` by its index, at `position` of the order of `epoch` over all processes."""

    epoch: int
    position: int
    record: int

    def generator(self, seed: int) -> np.random.Generator:
        """The source of all randomness in this sample."""
        return np.random.default_rng((seed, self.epoch, self.position))


class RowNumbers:
    """Random numbers for rows, R of each sample of a batch: a function of the seed and the place in the order alone.

    They come from a generator that can start anywhere (Philox; Salmon et al. 2011), so that those of a whole batch are
    made at once and are the same as if they were made one by one.

    Args:
        keys: of the samples.
        per_sample: rows R of each.
        seed: of all numbers.
    """

    def __init__(self, keys: Sequence[SampleKey], *, per_sample: int, seed: int) -> None:
        self.seed = seed
        each = np.arange(per_sample)
        self._epochs = np.repeat([key.epoch for key in keys], per_sample)
        self._places = (np.array([key.position for key in keys], np.int64)[:, None] * per_sample + each).ravel()

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._places)

    def of_rows(self, rows: NDArray[np.int64]) -> RowNumbers:
        """The numbers of some of the rows [n], by index."""
        some = copy(self)
        some._epochs, some._places = self._epochs[rows], self._places[rows]
        return some

    def __call__(self, stream: int, count: int) -> NDArray[np.float64]:
        """`count` numbers in 0-1 for each row: [N, count].

        Args:
            stream: numbers of different streams have nothing to do with each other.
            count: has to be the same whenever a stream is read.
        """
        epochs, places = self._epochs, self._places
        numbers = np.empty((len(places), count))
        blocks = -(-count // NUMBERS_A_BLOCK)
        starts = np.flatnonzero((np.diff(places, prepend=-2) != 1) | (np.diff(epochs, prepend=-1) != 0))
        for start, end in pairwise([*starts.tolist(), len(places)]):
            bits = np.random.Philox(
                key=_philox_key(self.seed, int(epochs[start]), stream), counter=int(places[start]) * blocks
            )
            drawn = np.random.Generator(bits).random((end - start, blocks * NUMBERS_A_BLOCK))
            numbers[start:end] = drawn[:, :count]
        return numbers


def normal_numbers(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normally distributed numbers with standard deviation 1, of the shape of uniform ones in 0-1."""
    normal: NDArray[np.float64] = ndtri(np.maximum(uniform, SMALLEST))
    return normal


@lru_cache(maxsize=16)
def _philox_key(seed: int, epoch: int, stream: int) -> NDArray[np.uint64]:
    return np.asarray(np.random.SeedSequence((seed, epoch, stream)).generate_state(2, np.uint64), np.uint64)


class ResumableBatches(Sampler[list[SampleKey]]):
    """Batches of one process, each epoch a new permutation, from wherever the run stands.

    At every `iter` the place is derived from the number of optimiser steps done, so that a resumed run goes on with the
    very batch that would have come next. Batch b of W processes takes the positions from b * W * batch_size on, each
    process its share in turn: together they see what a single process with W times the batch size sees. What does not
    fill a batch for all of them is left out; a data set smaller than that makes one smaller batch.

    Args:
        length: number of records.
        batch_size: samples a batch and process.
        seed: of the permutations.
        steps_done: gives the number of optimiser steps done so far.
        batches_per_step: batches whose gradients are accumulated for a step.
        rank: of this process, from 0.
        world_size: number of processes W.

    Raises:
        ValueError: if there are fewer records than processes.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        seed: int,
        steps_done: Callable[[], int],
        batches_per_step: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if length < world_size:
            raise ValueError(f"expected at least {world_size} records, one a process, got {length}")
        self.length = length
        self.batch_size = min(batch_size, length // world_size)
        self.seed = seed
        self.steps_done = steps_done
        self.batches_per_step = batches_per_step
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.length // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, step = divmod(self.steps_done(), math.ceil(len(self) / self.batches_per_step))
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length).tolist()
        for batch in range(step * self.batches_per_step, len(self)):
            start = (batch * self.world_size + self.rank) * self.batch_size
            yield [SampleKey(epoch, position, order[position]) for position in range(start, start + self.batch_size)]
