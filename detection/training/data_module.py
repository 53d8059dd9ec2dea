"""Loaders that feed a training run, sharded over its processes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from detection.training.sample_order import ResumableBatches, SampleKey

LEAST_URGENT = 19
"""Niceness."""

Collation = Callable[[Any], Any]
"""Makes a batch of a list of samples."""


class TrainingSamples(Protocol):
    """What a training run draws from: a sample is a function of the seed and its place in the order."""

    seed: int

    def __len__(self) -> int:
        """Number of records."""
        ...

    def __getitem__(self, key: SampleKey) -> Any:
        """The sample of a record at a place."""
        ...


class ResumableLoader(DataLoader[Any]):
    """A loader that Lightning may resume in mid-epoch: its place follows from the steps done, so it saves nothing.

    The steps are looked at when the first batch is wanted. Lightning calls `iter` earlier than that, when it has not
    restored them yet.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the nothing that was saved."""


class Share(Dataset[Any]):
    """One process's share of a data set: every W-th sample, as many as every other process has.

    With batch normalisation the processes speak to each other at each batch, so all need as many batches. Where W does
    not divide the samples, some shares end with what `filler` makes of one that is another's.
    """

    def __init__(self, samples: Dataset[Any], *, filler: Callable[[Any], Any], rank: int, world_size: int) -> None:
        self.samples = samples
        self.filler = filler
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.world_size)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        place, count = self.rank + index * self.world_size, len(self.samples)  # type: ignore[arg-type]
        sample = self.samples[place % count]
        return sample if place < count else self.filler(sample)


def give_way(worker: int) -> None:  # noqa: ARG001
    """Let a loader process run in the gaps of a network that trains on the same cores.

    A network's threads wait for each other at each layer, so that a loader that takes turns with one of them delays
    all. It works ahead while they wait for memory, for Python, or for the loader.
    """
    if hasattr(os, "nice"):  # not on Windows
        os.nice(LEAST_URGENT)


class TrainingData(LightningDataModule):
    """Batches to train on and to measure with, whether that is called validation or test.

    Args:
        training: samples to draw from; None to measure only.
        measured: samples to measure with.
        batch_size: images a batch and process.
        workers: loader processes of each process.
        training_collation: makes batches of the first.
        collation: makes batches of the second.
        filler: makes a sample that counts for nothing of one of the second.
    """

    def __init__(
        self,
        training: TrainingSamples | None,
        measured: Dataset[Any],
        *,
        batch_size: int,
        workers: int,
        training_collation: Collation,
        collation: Collation,
        filler: Callable[[Any], Any],
    ) -> None:
        super().__init__()
        self.training = training
        self.measured = measured
        self.batch_size = batch_size
        self.workers = workers
        self.training_collation = training_collation
        self.collation = collation
        self.filler = filler

    def train_dataloader(self) -> ResumableLoader:
        trainer = self._attached_trainer()
        if self.training is None:
            raise RuntimeError("TrainingData was made to measure only")
        batches = ResumableBatches(
            len(self.training),
            batch_size=self.batch_size,
            seed=self.training.seed,
            steps_done=lambda: trainer.global_step,
            batches_per_step=trainer.accumulate_grad_batches,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        return ResumableLoader(
            self.training,  # type: ignore[arg-type]  # the collation turns samples into batches
            batch_sampler=batches,
            collate_fn=self.training_collation,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
            worker_init_fn=give_way if trainer.strategy.root_device.type == "cpu" else None,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        trainer = self._attached_trainer()
        share = Share(self.measured, filler=self.filler, rank=trainer.global_rank, world_size=trainer.world_size)
        return DataLoader(share, batch_size=self.batch_size, collate_fn=self.collation, num_workers=self.workers)

    def _attached_trainer(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("TrainingData gives loaders to the trainer that it was passed to")
        return self.trainer

    def test_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()
