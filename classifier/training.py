"""Training of a classifier: loss, metrics and optimiser around a plain network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau

from classifier.augmentation import distort
from classifier.box_loss import box_regression_loss
from classifier.googlenet import GoogLeNet
from classifier.region_data import UNCOUNTED, RegionBatch
from classifier.region_network import RegionNetwork
from classifier.schedules import CosineSchedule, Schedule
from classifier.warp import normalise, warp_regions
from detection.errors import InputError

CLASS_NAMES_KEY = "class_names"

NEW_LAYERS_KEY = "new_layers"

CHECKED_STEPS = 20
"""Losses that are checked at once."""

AUXILIARY_WEIGHT = 0.3
"""Of the losses of GoogLeNet's side classifiers (arXiv 1409.4842, section 5)."""


class ClassifierTraining(LightningModule):
    """Softmax regression on warped regions, which may be crops of whole images.

    Args:
        network: its trunk may have auxiliary heads, and it may have a head that refines boxes.
        class_names: of the C classes, kept in checkpoints.
        background: whether output 0 is background.
        seed: of dropout.
        input_size: side S of the network's input, in pixels.
        training_size: the same in training; None for `input_size`. Random crops show objects larger than they are
            when measuring, so a smaller input in training suits both, and is faster (Touvron et al., arXiv 1906.06423).
        context: pixels of the input that show the surroundings of a box on each side.
        learning_rate: the highest rate of the schedule.
        new_layer_factor: on the rate of the layers named in `new_layers` (R-CNN: 10).
        new_layers: names of parameters that start afresh where the others are pre-trained.
        schedule: of the learning rate.
        momentum: of SGD.
        nesterov: whether it is Nesterov's.
        weight_decay: on the weights of convolutions and linear layers only.
        label_smoothing: share of the target spread over all classes, 0-1.
        box_weight: of the loss of refined boxes, where the network has them.
    """

    def __init__(
        self,
        network: RegionNetwork,
        *,
        class_names: tuple[str, ...],
        background: bool,
        seed: int,
        input_size: int,
        training_size: int | None = None,
        context: int = 0,
        learning_rate: float = 0.1,
        new_layer_factor: float = 10.0,
        new_layers: frozenset[str] = frozenset(),
        schedule: Schedule | None = None,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.0,
        box_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.class_names = class_names
        self.background = background
        self.seed = seed
        self.input_size = input_size
        self.training_size = training_size or input_size
        self.context = context
        self.training_context = context * self.training_size // input_size
        self.learning_rate = learning_rate
        self.new_layer_factor = new_layer_factor
        self.new_layers = new_layers
        self.schedule = schedule or CosineSchedule()
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.box_weight = box_weight
        self._unchecked: list[tuple[Tensor, tuple[Path, ...]]] = []
        self._totals: list[Tensor] = []
        self._validated = False

    def on_train_batch_start(self, batch: RegionBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Make dropout a function of seed, batch and process, so that a resumed run draws the same."""
        state = np.random.SeedSequence((self.seed, self.global_step, batch_idx, self.global_rank))
        torch.manual_seed(int(state.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def training_step(self, batch: RegionBatch) -> Tensor:
        if len(self._unchecked) == CHECKED_STEPS:
            self.raise_if_diverged()
        loss, logits = self._loss(batch)
        self._unchecked.append((loss.detach(), batch.paths))
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_top1", (logits.argmax(1) == batch.labels).float().mean(), prog_bar=True)
        return loss

    def _loss(self, batch: RegionBatch) -> tuple[Tensor, Tensor]:
        """All losses together, and the logits [N, outputs]."""
        features, side_logits = self._features(self.distorted_regions(batch))
        logits, deltas = self.network.heads(features)
        labels = batch.labels
        loss = self._cross_entropy(logits, labels)
        for of_side in side_logits:
            loss = loss + AUXILIARY_WEIGHT * self._cross_entropy(of_side, labels)
        if deltas is not None:
            regions, targets = _mirrored_boxes(batch)
            loss = loss + box_regression_loss(deltas, labels, regions, targets, weight=self.box_weight)
        return loss, logits

    def _features(self, regions: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features [N, F], and the logits of auxiliary heads where the trunk has any."""
        trunk = self.network.trunk
        if isinstance(trunk, GoogLeNet) and len(trunk.auxiliary):
            return trunk.features_with_auxiliary(regions)
        return self.network.features(regions), []

    def distorted_regions(self, batch: RegionBatch) -> Tensor:
        """Input of the network in training, [N, 3, S, S], on the device of the batch and in full precision."""
        with torch.autocast(batch.images.device.type, enabled=False):
            regions = self._warp(batch, self.training_size, self.training_context)
            return _as_input(distort(regions, batch.distortions))

    def regions(self, batch: RegionBatch) -> Tensor:
        """Input of the network when measuring, [N, 3, S, S]."""
        with torch.autocast(batch.images.device.type, enabled=False):
            return _as_input(self._warp(batch, self.input_size, self.context))

    def _warp(self, batch: RegionBatch, size: int, context: int) -> Tensor:
        boxes, kinds = batch.boxes.unsqueeze(1), batch.distortions.interpolation[:, None]
        return warp_regions(batch.images, boxes, size=size, context=context, interpolation=kinds).squeeze(1)

    def on_train_epoch_end(self) -> None:
        """Check the losses, and tell a schedule that waits for a plateau how validation went, if there was one."""
        self.raise_if_diverged()
        schedulers = self.lr_schedulers()
        if self._validated and isinstance(schedulers, ReduceLROnPlateau):
            schedulers.step(float(self.trainer.callback_metrics["val_loss"]))
        self._validated = False

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule, but not one that waits for a plateau: Lightning would do so after the epoch's checkpoint."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def raise_if_diverged(self) -> None:
        """Check the losses of the last steps, of several at once, so that a GPU is seldom waited for.

        Raises:
            InputError: naming the files of the first batch whose loss is not finite.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        losses = torch.stack([loss for loss, _ in unchecked]).tolist()
        for loss, (_, paths) in zip(losses, unchecked, strict=True):
            if not math.isfinite(loss):
                files = ", ".join(str(path) for path in paths)
                raise InputError(
                    f"step {self.global_step} or up to {len(losses)} earlier: expected a finite loss, got {loss}; "
                    f"lower the learning rate, or look for a broken sample among {files}"
                )

    def validation_step(self, batch: RegionBatch) -> None:
        self._measure(batch)

    def test_step(self, batch: RegionBatch) -> None:
        self._measure(batch)

    def _measure(self, batch: RegionBatch) -> None:
        """Add up the loss, and hits over the foreground classes as if every region were known to be an object."""
        logits, labels = self.network(self.regions(batch)).logits.float(), batch.labels
        best = logits[:, self.background :].topk(min(5, logits.shape[1] - self.background)).indices + self.background
        found = best == labels.unsqueeze(1)
        loss = functional.cross_entropy(logits, labels, ignore_index=UNCOUNTED, reduction="sum")
        counts = found[:, :1].any(1).sum(), found.any(1).sum(), (labels != UNCOUNTED).sum()
        self._totals.append(torch.stack([loss, *counts]))

    def on_validation_epoch_end(self) -> None:
        self._log_measures("val")
        self._validated = not self.trainer.sanity_checking

    def on_test_epoch_end(self) -> None:
        self._log_measures("test")

    def _log_measures(self, stage: str) -> None:
        """Loss, top-1 and top-5 accuracy over the samples of all processes."""
        totals, self._totals = torch.stack(self._totals).sum(0), []
        loss, top1, top5, count = self.trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        measures = {"loss": loss, "top1": top1, "top5": top5}
        self.log_dict({f"{stage}_{name}": total / count for name, total in measures.items()}, prog_bar=True)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the outputs mean, and which layers learn faster."""
        checkpoint[CLASS_NAMES_KEY] = list(self.class_names)
        checkpoint[NEW_LAYERS_KEY] = sorted(self.new_layers)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.SGD(
            self._parameter_groups(), self.learning_rate, momentum=self.momentum, nesterov=self.nesterov
        )
        self.trainer.fit_loop.setup_data()
        batches = int(self.trainer.num_training_batches)
        steps_an_epoch = math.ceil(batches / self.trainer.accumulate_grad_batches)
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError("trainer: expected max_epochs or max_steps, for the schedule of the learning rate")
        scheduler = self.schedule.build(optimizer, steps=int(steps), epochs=steps / steps_an_epoch)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Weights decay, biases and normalisation do not; new layers learn faster."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            groups.setdefault((name in self.new_layers, parameter.ndim > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.learning_rate * (self.new_layer_factor if new else 1),
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (new, decays), parameters in groups.items()
        ]


def _as_input(regions: Tensor) -> Tensor:
    return normalise(regions).contiguous(memory_format=torch.channels_last)


def _mirrored_boxes(batch: RegionBatch) -> tuple[Tensor, Tensor]:
    """Regions and their targets [N, 4]; about the centre of the region where its picture was mirrored."""
    regions, targets = batch.boxes, batch.targets
    ends = regions[:, 0] + regions[:, 2]
    turned = torch.stack([ends - targets[:, 2], targets[:, 1], ends - targets[:, 0], targets[:, 3]], dim=1)
    return regions, torch.where(batch.distortions.mirrored.unsqueeze(1), turned, targets)
