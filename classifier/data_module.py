"""Loaders that feed a training run, sharded over its processes."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset, Subset

from classifier.region_data import RegionBatch, RegionSample, RegionSamples, collate_regions
from classifier.sample_order import ResumableBatches


class ResumableLoader(DataLoader[RegionBatch]):
    """A loader that Lightning may resume in mid-epoch: its place follows from the steps done, so it saves nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the nothing that was saved."""


class TrainingData(LightningDataModule):
    """Batches to train on and to validate with.

    Args:
        training: samples to draw from.
        validation: samples to measure with.
        batch_size: images a batch and process.
        workers: loader processes of each process.
    """

    def __init__(
        self, training: RegionSamples, validation: Dataset[RegionSample], *, batch_size: int, workers: int
    ) -> None:
        super().__init__()
        self.training = training
        self.validation = validation
        self.batch_size = batch_size
        self.workers = workers

    def train_dataloader(self) -> ResumableLoader:
        trainer = self._attached_trainer()
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
            collate_fn=collate_regions,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader[RegionBatch]:
        trainer = self._attached_trainer()
        share: Dataset[RegionSample] = self.validation
        count = len(share)  # type: ignore[arg-type]
        if count >= trainer.world_size > 1:
            share = Subset(share, range(trainer.global_rank, count, trainer.world_size))
        return DataLoader(share, batch_size=self.batch_size, collate_fn=collate_regions, num_workers=self.workers)  # type: ignore[arg-type]

    def _attached_trainer(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("TrainingData gives loaders to the trainer that it was passed to")
        return self.trainer

    def test_dataloader(self) -> DataLoader[RegionBatch]:
        return self.val_dataloader()
