"""The order in which a training run sees its samples, and the random numbers of each sample.

Both depend on the seed alone. They do not depend on the number of loader processes or of machines, and a run that was
interrupted and resumed sees the same samples as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from torch.utils.data import Sampler

SMALLEST = 2.0**-54
"""Half of the step between uniform numbers; it takes the place of 0, where the normal distribution is infinite."""

NUMBERS_PER_BLOCK = 4
"""The number of 64-bit numbers that a Philox generator makes for each value of its counter."""


class SampleKey(NamedTuple):
    """A sample: the index of its `record`, and its `position` in the order of `epoch` over all processes."""

    epoch: int
    position: int
    record: int

    def generator(self, seed: int) -> np.random.Generator:
        """Return the generator of all random numbers of this sample."""
        return np.random.default_rng((seed, self.epoch, self.position))


class RowNumbers:
    """Random numbers for a batch that has R rows for each sample, such as R regions of an image.

    The numbers of a row depend only on the seed and on the sample's place in the order. They come from a generator that
    can start anywhere (Philox; Salmon et al. 2011), so the numbers of a whole batch are made at once and are the same
    as if each sample were made alone.

    Args:
        keys: the keys of the samples.
        per_sample: number R of rows of each sample.
        seed: seed of all numbers.
    """

    def __init__(self, keys: Sequence[SampleKey], *, per_sample: int, seed: int) -> None:
        self.seed = seed
        each = np.arange(per_sample)
        self._epochs = np.repeat([key.epoch for key in keys], per_sample)
        self._places = (np.array([key.position for key in keys], np.int64)[:, None] * per_sample + each).ravel()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._places)

    def take(self, rows: NDArray[np.int64]) -> RowNumbers:
        """Return the numbers of the rows with the indices `rows` [n]."""
        taken = copy(self)
        taken._epochs, taken._places = self._epochs[rows], self._places[rows]
        return taken

    def __call__(self, stream: int, count: int) -> NDArray[np.float64]:
        """Return `count` uniform numbers in 0-1 for each of the N rows: [N, count].

        Args:
            stream: number of the stream; different streams are independent of each other.
            count: must be the same whenever a stream is read.
        """
        epochs, places = self._epochs, self._places
        numbers = np.empty((len(places), count))
        blocks = -(-count // NUMBERS_PER_BLOCK)
        starts = np.flatnonzero((np.diff(places, prepend=-2) != 1) | (np.diff(epochs, prepend=-1) != 0))
        for start, end in pairwise([*starts.tolist(), len(places)]):
            key = _philox_key(self.seed, int(epochs[start]), stream)
            bits = np.random.Philox(key=key, counter=int(places[start]) * blocks)
            drawn = np.random.Generator(bits).random((end - start, blocks * NUMBERS_PER_BLOCK))
            numbers[start:end] = drawn[:, :count]
        return numbers


def normal_numbers(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normally distributed numbers with standard deviation 1, made from uniform numbers in 0-1 of any shape."""
    return np.asarray(ndtri(np.maximum(uniform, SMALLEST)))


@lru_cache(maxsize=16)
def _philox_key(seed: int, epoch: int, stream: int) -> NDArray[np.uint64]:
    return np.asarray(np.random.SeedSequence((seed, epoch, stream)).generate_state(2, np.uint64), np.uint64)


@dataclass(eq=False)
class ResumableBatches(Sampler[list[SampleKey]]):
    """The batches of one process, in a new permutation of the records in each epoch.

    Each `iter` derives its place in the order from the number of optimiser steps that are done, so a resumed run
    continues with the batch that would have come next. Batch b of W processes takes the positions from
    b * W * batch_size on, and each process takes its share of them: together they see the batches of a single process
    with W times the batch size. Records that do not fill a batch for all processes are left out. A data set that is
    smaller than one batch for all processes makes one smaller batch.

    Args:
        length: number of records.
        batch_size: number of samples in a batch of one process.
        seed: seed of the permutations.
        steps_done: returns the number of optimiser steps that are done.
        batches_per_step: number of batches whose gradients are accumulated for a step.
        rank: number of this process, from 0.
        world_size: number of processes W.

    Raises:
        ValueError: if there are fewer records than processes.
    """

    length: int
    _: KW_ONLY
    batch_size: int
    seed: int
    steps_done: Callable[[], int]
    batches_per_step: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.length < self.world_size:
            raise ValueError(f"expected at least {self.world_size} records, one for each process, got {self.length}")
        self.batch_size = min(self.batch_size, self.length // self.world_size)

    def __len__(self) -> int:
        return self.length // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, step = divmod(self.steps_done(), math.ceil(len(self) / self.batches_per_step))
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length).tolist()
        for batch in range(step * self.batches_per_step, len(self)):
            start = (batch * self.world_size + self.rank) * self.batch_size
            yield [SampleKey(epoch, position, order[position]) for position in range(start, start + self.batch_size)]
