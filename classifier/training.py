"""Training of a classifier: loss, metrics and optimiser around a plain network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from classifier.augmentation import distort
from classifier.box_loss import box_regression_loss
from classifier.googlenet import GoogLeNet
from classifier.region_data import RegionBatch
from classifier.region_network import RegionNetwork
from classifier.schedules import CosineSchedule, Schedule
from classifier.warp import normalise, warp_regions
from detection.errors import InputError

CLASS_NAMES_KEY = "class_names"

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
        self.learning_rate = learning_rate
        self.new_layer_factor = new_layer_factor
        self.new_layers = new_layers
        self.schedule = schedule or CosineSchedule()
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.box_weight = box_weight
        self._last_loss: tuple[Tensor, RegionBatch] | None = None

    def on_train_batch_start(self, *_: Any) -> None:
        """Make dropout a function of seed, step and process, so that a resumed run draws the same."""
        state = np.random.SeedSequence((self.seed, self.global_step, self.global_rank)).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0] >> np.uint64(1)))

    def training_step(self, batch: RegionBatch) -> Tensor:
        self.raise_if_diverged()
        loss, logits = self._loss(batch)
        self._last_loss = loss.detach(), batch
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_top1", (logits.argmax(1) == batch.labels.flatten()).float().mean(), prog_bar=True)
        return loss

    def _loss(self, batch: RegionBatch) -> tuple[Tensor, Tensor]:
        """All losses together, and the logits [N, outputs]."""
        features, side_logits = self._features(self.distorted_regions(batch))
        logits, deltas = self.network.heads(features)
        labels = batch.labels.flatten()
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
        context = self.context * self.training_size // self.input_size
        with torch.autocast(batch.images.device.type, enabled=False):
            regions = self._warp(batch, self.training_size, context)
            return _as_input(distort(regions, batch.distortions))

    def regions(self, batch: RegionBatch) -> Tensor:
        """Input of the network when measuring, [N, 3, S, S]."""
        with torch.autocast(batch.images.device.type, enabled=False):
            return _as_input(self._warp(batch, self.input_size, self.context))

    def _warp(self, batch: RegionBatch, size: int, context: int) -> Tensor:
        kinds = batch.distortions.interpolation.view(batch.boxes.shape[:2])
        return warp_regions(batch.images, batch.boxes, size=size, context=context, interpolation=kinds).flatten(0, 1)

    def on_train_epoch_end(self) -> None:
        self.raise_if_diverged()

    def raise_if_diverged(self) -> None:
        """Check the last step's loss; a step late, so that a GPU need not be waited for.

        Raises:
            InputError: naming the files of the batch, if it is not finite.
        """
        last, self._last_loss = self._last_loss, None
        if last is not None and not torch.isfinite(last[0]):
            files = ", ".join(str(path) for path in last[1].paths)
            raise InputError(
                f"step {self.global_step}: expected a finite loss, got {float(last[0])}; lower the learning rate, or "
                f"look for a broken sample among {files}"
            )

    def validation_step(self, batch: RegionBatch) -> None:
        self._measure("val", batch)

    def test_step(self, batch: RegionBatch) -> None:
        self._measure("test", batch)

    def _measure(self, stage: str, batch: RegionBatch) -> None:
        """Log the loss, and accuracies over the foreground classes, as if every region were known to be an object."""
        logits, labels = self.network(self.regions(batch)).logits.float(), batch.labels.flatten()
        best = logits[:, self.background :].topk(min(5, logits.shape[1] - self.background)).indices + self.background
        found = best == labels.unsqueeze(1)
        measures = {
            f"{stage}_loss": functional.cross_entropy(logits, labels),
            f"{stage}_top1": found[:, :1].any(1).float().mean(),
            f"{stage}_top5": found.any(1).float().mean(),
        }
        self.log_dict(measures, batch_size=len(labels), prog_bar=True, sync_dist=True)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the outputs mean."""
        checkpoint[CLASS_NAMES_KEY] = list(self.class_names)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.SGD(
            self._parameter_groups(), self.learning_rate, momentum=self.momentum, nesterov=self.nesterov
        )
        steps = int(self.trainer.estimated_stepping_batches)
        epochs = steps * self.trainer.accumulate_grad_batches / self.trainer.num_training_batches
        scheduler = self.schedule.build(optimizer, steps=steps, epochs=epochs)
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
    regions, targets = batch.boxes.flatten(0, 1), batch.targets.flatten(0, 1)
    ends = regions[:, 0] + regions[:, 2]
    turned = torch.stack([ends - targets[:, 2], targets[:, 1], ends - targets[:, 0], targets[:, 3]], dim=1)
    return regions, torch.where(batch.distortions.mirrored.unsqueeze(1), turned, targets)
