"""The data loaders of a training run, which divide the samples among the processes of the run."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, cast

from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from detection.training.sample_order import ResumableBatches, SampleKey

LEAST_URGENT = 19
"""The lowest priority (niceness) of a process."""

Collation = Callable[[Any], Any]
"""A function that makes a batch of a list of samples."""


class TrainingSamples(Protocol):
    """The samples that a training run draws; each is a function of the seed and its place in the order."""

    seed: int

    def __len__(self) -> int:
        """Return the number of records."""

    def __getitem__(self, key: SampleKey) -> Any:
        """Return the sample of a record at a place in the order."""

    def checksum(self) -> int:
        """Return the CRC-32 of what the samples are drawn from: the names of the images, and their objects."""


class ResumableLoader(DataLoader[Any]):
    """A loader that Lightning can resume in the middle of an epoch.

    It has no state to save, because `ResumableBatches` derives its place from the number of steps. This number is read
    when the first batch is needed, and not at `iter`, which Lightning calls before it has restored the number.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Ignore the empty state."""


@dataclass(eq=False)
class Share(Dataset[Any]):
    """The share of one of W processes in a data set: every W-th sample.

    All shares have the same length, because with batch normalisation the processes communicate at each batch. If W does
    not divide the number of samples, some shares end with a sample of another process that `filler` has changed so that
    it does not count.
    """

    samples: Dataset[Any]
    _: KW_ONLY
    filler: Callable[[Any], Any]
    rank: int
    world_size: int

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.world_size)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        place, count = self.rank + index * self.world_size, len(self.samples)  # type: ignore[arg-type]
        sample = self.samples[place % count]
        return sample if place < count else self.filler(sample)


def give_way(worker: int) -> None:  # noqa: ARG001
    """Give a loader process the lowest priority, so that it does not delay a network that trains on the same cores.

    The threads of a network wait for each other at each layer, so a loader that delays one thread delays all. At the
    lowest priority, the loader works while they wait for memory, for Python or for the loader.
    """
    if hasattr(os, "nice"):  # not on Windows
        os.nice(LEAST_URGENT)


@dataclass(eq=False)
class TrainingData(LightningDataModule):
    """The batches to train on, and the batches to measure with in validation or test.

    Args:
        training: samples to train on; None if the run only measures.
        measured: samples to measure with.
        batch_size: number of samples in a batch of one process.
        workers: number of loader processes of each process.
        training_collation: makes batches of the training samples.
        collation: makes batches of the measured samples.
        filler: changes a measured sample so that it does not count.
    """

    training: TrainingSamples | None
    measured: Dataset[Any]
    _: KW_ONLY
    batch_size: int
    workers: int
    training_collation: Collation
    collation: Collation
    filler: Callable[[Any], Any]

    def __post_init__(self) -> None:
        super().__init__()

    def train_dataloader(self) -> ResumableLoader:
        trainer, training = cast(Trainer, self.trainer), cast(TrainingSamples, self.training)
        batches = ResumableBatches(
            len(training),
            batch_size=self.batch_size,
            seed=training.seed,
            steps_done=lambda: trainer.global_step,
            batches_per_step=trainer.accumulate_grad_batches,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        return ResumableLoader(
            training,  # type: ignore[arg-type]  # it is no `Dataset`, but all that the loader needs
            batch_sampler=batches,
            collate_fn=self.training_collation,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
            worker_init_fn=give_way if trainer.strategy.root_device.type == "cpu" else None,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        trainer = cast(Trainer, self.trainer)
        share = Share(self.measured, filler=self.filler, rank=trainer.global_rank, world_size=trainer.world_size)
        return DataLoader(share, batch_size=self.batch_size, collate_fn=self.collation, num_workers=self.workers)

    test_dataloader = val_dataloader
