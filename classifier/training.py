"""Training of a region classifier: loss, metric and optimiser around a plain network."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from classifier.region_data import RegionBatch
from classifier.warp import normalise, warp_regions


class RegionTraining(LightningModule):
    """Softmax regression over C classes and background on warped regions.

    GoogLeNet's paper leaves base rate, batch size and weight decay open; the schedule here (a linear warm-up, then a
    cosine to zero) is our choice for short runs.

    Args:
        network: [B, 3, S, S] -> logits [B, C + 1].
        input_size: side S of the network's input, in pixels.
        context: pixels of the input that show the surroundings of a box on each side.
        learning_rate: the highest rate of the schedule.
        momentum: Nesterov momentum of SGD.
        weight_decay: on the weights of convolutions and linear layers only.
        label_smoothing: share of the target spread over all classes, 0-1.
        warmup_fraction: share of the steps in which the rate rises.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        input_size: int,
        context: int,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.1,
        warmup_fraction: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.input_size = input_size
        self.context = context
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.warmup_fraction = warmup_fraction

    def forward(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Logits of all regions, uint8 [B, H, W, 3] and [B, R, 4] -> [B * R, C + 1]."""
        return self._classify(self._warp(images, boxes))

    def training_step(self, batch: RegionBatch) -> Tensor:
        regions = self._warp(batch.images, batch.boxes)
        mirrored = torch.rand(len(regions), device=regions.device) < 0.5
        regions = torch.where(mirrored[:, None, None, None], regions.flip(3), regions)
        labels = batch.labels.flatten()
        logits = self._classify(regions)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_top1", (logits.argmax(1) == labels).float().mean(), prog_bar=True)
        return loss

    def validation_step(self, batch: RegionBatch) -> None:
        self._measure("val", batch)

    def test_step(self, batch: RegionBatch) -> None:
        self._measure("test", batch)

    def _measure(self, stage: str, batch: RegionBatch) -> None:
        """Log loss and top-1 accuracy over the foreground classes, as if every region were known to be an object."""
        logits, labels = self(batch.images, batch.boxes), batch.labels.flatten()
        correct = (logits[:, 1:].argmax(1) + 1 == labels).float().mean()
        self.log(f"{stage}_loss", functional.cross_entropy(logits, labels), batch_size=len(labels))
        self.log(f"{stage}_top1", correct, batch_size=len(labels), prog_bar=True)

    def _warp(self, images: Tensor, boxes: Tensor) -> Tensor:
        return warp_regions(images, boxes, size=self.input_size, context=self.context).flatten(0, 1)

    def _classify(self, regions: Tensor) -> Tensor:
        logits: Tensor = self.network(normalise(regions).contiguous(memory_format=torch.channels_last))
        return logits.float()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        weights = [parameter for parameter in self.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, self.learning_rate, momentum=self.momentum, nesterov=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: rate_factor(step / steps, self.warmup_fraction))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(progress: float, warmup: float) -> float:
    """Share of the highest learning rate, 0-1, at `progress` 0-1: a linear rise up to `warmup`, then half a cosine."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup)))
