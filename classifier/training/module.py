"""Training of a classifier: losses and measures around a plain network.

`detection.training.module` has the optimiser; `tasks.py` and `samples/` make the batches.
"""

from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from classifier.googlenet import GoogLeNet
from classifier.region_network import RegionNetwork, Trunk
from classifier.training.augmentation import distort
from classifier.training.box_loss import box_regression_loss
from classifier.training.class_loss import ClassLoss
from classifier.training.samples.region_batch import UNCOUNTED, RegionBatch
from classifier.training.second_task import SecondTask
from classifier.training.teacher import Teacher
from classifier.warp.crop import warp_regions
from detection.errors import InputError
from detection.runtime.pixels import SCALE
from detection.structures.ranges import require_range
from detection.training.module import SupervisedTraining
from detection.training.options import TrainingOptions

CLASS_NAMES_KEY = "class_names"
"""Key of the class names in a checkpoint."""

NEW_LAYERS_KEY = "new_layers"
"""Key of the names of the new layers in a checkpoint."""

AUXILIARY_WEIGHT = 0.3
"""Weight of the losses of GoogLeNet's auxiliary classifiers (arXiv 1409.4842, section 5)."""


class ClassifierTraining(SupervisedTraining):
    """Softmax regression on warped regions, which may be crops of whole images.

    Args:
        network: the network; its trunk may have auxiliary heads, and it may have a head that refines boxes.
        options: see `SupervisedTraining`.
        class_names: names of the C classes, which are kept in checkpoints.
        background: True if output 0 is background.
        label_sets: the sets of classes that labels above those of the outputs stand for. A set holds labels 0 to C - 1,
            and -1 if the object may belong to none of the classes (background).
        seed: seed of dropout.
        input_size: side S of the network's input, in pixels
        context: pixels of the input that show the surroundings of a box on each side
        label_smoothing: share of the target that is spread over all classes, 0-1
        box_weight: weight of the loss of refined boxes, if the network has a head for them
        teacher: trained networks to imitate, or None
        second_task: a network of other classes whose outputs are learned as well, or None

    Attributes:
        second_head: the linear layer of the second task, or None.

    Raises:
        InputError: if there is a teacher, but the network has no output for background.
        ValueError: for numbers out of range.
    """

    def __init__(
        self,
        network: RegionNetwork,
        options: TrainingOptions,
        *,
        class_names: tuple[str, ...],
        background: bool,
        label_sets: Sequence[Collection[int]] = (),
        seed: int,
        input_size: int,
        context: int = 0,
        label_smoothing: float = 0.0,
        box_weight: float = 1.0,
        teacher: Teacher | None = None,
        second_task: SecondTask | None = None,
    ) -> None:
        require_range(1, 10_000, input_size=input_size)
        require_range(0, (input_size - 1) // 2, context=context)
        require_range(0, 1, label_smoothing=label_smoothing)
        require_range(0, 1e6, box_weight=box_weight)
        if teacher is not None and not background:
            raise InputError(
                "teacher: expected a task with regions, because teachers classify regions, got whole images"
            )
        super().__init__(network, options)
        self.training_sizes = self.training_sizes or (input_size,)
        self.network: RegionNetwork
        self.class_names = class_names
        self.background = background
        self.seed = seed
        self.input_size = input_size
        self.context = context
        self.class_loss = ClassLoss(
            len(class_names) + background,
            sets=[[label + background for label in labels] for labels in label_sets],
            smoothing=label_smoothing,
        )
        self.box_weight = box_weight
        self.teacher = teacher
        self.second_task = second_task
        features = cast(Trunk, network.trunk).linear.in_features
        self.second_head = None if second_task is None else nn.Linear(features, second_task.outputs)
        self._totals: list[Tensor] = []

    def on_fit_start(self) -> None:
        super().on_fit_start()
        for task in (self.teacher, self.second_task):
            if task is not None:
                task.load(self.device)

    def on_fit_end(self) -> None:
        super().on_fit_end()
        for task in (self.teacher, self.second_task):
            if task is not None:
                task.unload()

    def on_train_batch_start(self, batch: RegionBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Make dropout a function of seed, batch and process, so that a resumed run drops the same units."""
        state = np.random.SeedSequence((self.seed, self.global_step, batch_idx, self.global_rank))
        seed_device(int(state.generate_state(1, np.uint64)[0] >> np.uint64(1)), self.device)

    def training_step(self, batch: RegionBatch) -> Tensor:
        loss, logits = self._loss(batch)
        outputs, labels = logits.detach(), batch.labels
        self.watch(
            loss, batch.files, train_top1=lambda: self.class_loss.right(outputs.argmax(1), labels).float().mean()
        )
        return loss

    def _loss(self, batch: RegionBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of all losses, and the logits [N, outputs]."""
        features, auxiliary_logits = self._features(self.distorted_regions(batch))
        logits, deltas = self.network.heads(features)
        labels = batch.labels
        loss: Tensor = self.class_loss(logits, labels)
        if self.teacher is not None:
            loss = torch.lerp(loss, self.teacher.loss(logits, batch), self.teacher.share)
        if self.second_task is not None:
            loss = loss + self._second_loss(self.second_task, features, batch)
        for head_logits in auxiliary_logits:
            loss = loss + AUXILIARY_WEIGHT * self.class_loss(head_logits, labels)
        if deltas is not None:
            regions, targets = _mirrored_boxes(batch)
            loss = loss + box_regression_loss(
                deltas, self.class_loss.single(labels), regions, targets, weight=self.box_weight
            )
        return loss, logits

    def _second_loss(self, task: SecondTask, features: Tensor, batch: RegionBatch) -> Tensor:
        if self.global_step < task.head_steps:
            features = features.detach()
        head = cast(nn.Linear, self.second_head)
        logits = head(features[:, : head.in_features])
        return task.loss(logits, self._distorted(batch, task.input_size))

    def _features(self, regions: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what the heads read [N, F + G], and the logits of each auxiliary head of the trunk."""
        trunk = self.network.trunk
        if isinstance(trunk, GoogLeNet) and len(trunk.auxiliary):
            return trunk.features_with_auxiliary(regions)
        return self.replay(regions), []

    def compute(self, inputs: Tensor) -> Tensor:
        """Return the features; the layers after them have dropout, and take little time."""
        return self.network.features(inputs)

    def distorted_regions(self, batch: RegionBatch) -> Tensor:
        """Return the network's input in training [N, 3, S, S], on the device of the batch and in full precision."""
        return _as_input(self._distorted(batch, self.training_size(self.progress)))

    def _distorted(self, batch: RegionBatch, size: int) -> Tensor:
        """Return the distorted regions [N, 3, S, S] of a side in pixels, in pixel values less their mean."""
        with torch.autocast(batch.images.device.type, enabled=False):
            return distort(self._warp(batch, size, self.training_context(size)), batch.distortions)

    def training_context(self, size: int) -> int:
        """Return the pixels of context on each side of a box, for an input of side `size` in training."""
        return self.context * size // self.input_size

    def regions(self, batch: RegionBatch) -> Tensor:
        """Return the network's input when it is measured [N, 3, S, S]."""
        with torch.autocast(batch.images.device.type, enabled=False):
            return _as_input(self._warp(batch, self.input_size, self.context))

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the network, and those of the second task's layer, which is new."""
        groups = super()._parameter_groups()
        if self.second_head is not None:
            rate, decay = self.options.learning_rate * self.options.new_layer_factor, self.options.weight_decay
            groups.append({"params": [self.second_head.weight], "lr": rate, "weight_decay": decay})
            groups.append({"params": [self.second_head.bias], "lr": rate, "weight_decay": 0.0})
        return groups

    def _warp(self, batch: RegionBatch, size: int, context: int) -> Tensor:
        boxes, kinds = batch.boxes.unsqueeze(1), batch.distortions.interpolation[:, None]
        return warp_regions(batch.images, boxes, size=size, context=context, interpolation=kinds).squeeze(1)

    def validation_step(self, batch: RegionBatch) -> None:
        """Add up the loss, and how often the label is among the best 1 and 5 foreground classes."""
        logits, labels = self.network(self.regions(batch)).logits.float(), batch.labels
        best = logits[:, self.background :].topk(min(5, logits.shape[1] - self.background)).indices + self.background
        hits = best == labels.unsqueeze(1)
        loss = functional.cross_entropy(logits, labels, ignore_index=UNCOUNTED, reduction="sum")
        counts = hits[:, :1].any(1).sum(), hits.any(1).sum(), (labels != UNCOUNTED).sum()
        self._totals.append(torch.stack([loss, *counts]))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._log_measures("val")
        super().on_validation_epoch_end()

    def on_test_epoch_end(self) -> None:
        self._log_measures("test")

    def _log_measures(self, stage: str) -> None:
        """Log loss, top-1 and top-5 accuracy over the samples of all processes."""
        totals, self._totals = torch.stack(self._totals).sum(0), []
        loss, top1, top5, count = self.trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        measures = {"loss": loss, "top1": top1, "top5": top5}
        self.log_dict({f"{stage}_{name}": total / count for name, total in measures.items()}, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the class names, and the names of the layers that learn faster."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[CLASS_NAMES_KEY] = list(self.class_names)
        checkpoint[NEW_LAYERS_KEY] = sorted(self.new_layers)


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the CPU and a device; `torch.manual_seed` looks for devices of all kinds, which takes far longer."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _as_input(regions: Tensor) -> Tensor:
    return (regions * SCALE).contiguous(memory_format=torch.channels_last)


def _mirrored_boxes(batch: RegionBatch) -> tuple[Tensor, Tensor]:
    """Return the regions and targets [N, 4]; with a picture, its target is mirrored about the centre of the region."""
    regions, targets = batch.boxes, batch.targets
    ends = regions[:, 0] + regions[:, 2]
    turned = torch.stack([ends - targets[:, 2], targets[:, 1], ends - targets[:, 0], targets[:, 3]], dim=1)
    return regions, torch.where(batch.distortions.mirrored.unsqueeze(1), turned, targets)
