"""The order in which a training run sees its samples: a function of the seed and of nothing else.

Not of the number of loader processes, nor of the number of machines, nor of whether the run was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Which sample: `record` by its index, at `position` of the order of `epoch` over all processes."""

    epoch: int
    position: int
    record: int

    def generator(self, seed: int) -> np.random.Generator:
        """The source of all randomness in this sample."""
        return np.random.default_rng((seed, self.epoch, self.position))


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
