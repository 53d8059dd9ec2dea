"""What training has in common, whatever is learned: optimiser, schedule, and a watch on the losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from detection.errors import InputError
from detection.training.graphs import TrainingGraphs
from detection.training.schedules import Schedule

CHECKED_STEPS = 20
"""Losses that are checked at once."""

Measure = Callable[[], Tensor]
"""Computes a scalar when it is asked for."""


class SupervisedTraining(LightningModule):
    """A network that is trained by SGD, with a learning rate that follows a schedule.

    A subclass has `training_step`, which hands its loss to `watch`, and logs `val_loss` for schedules that look at it.
    `measures` are those of the last step, by name.

    Args:
        network: in channels-last memory format from here on.
        learning_rate: the highest rate of the schedule.
        schedule: of the learning rate.
        momentum: of SGD.
        nesterov: whether it is Nesterov's.
        weight_decay: on the weights of convolutions and linear layers only.
        new_layers: names of parameters that start afresh where the others are pre-trained.
        new_layer_factor: on the rate of these layers.
        training_sizes: sides of the network's input in training, in pixels, each for an equal share of the steps.
        frozen: names of modules, such as "trunk.stem", that keep their weights and statistics: a network for other
            classes or objects can go without training its first layers, which are the slowest.
        cuda_graphs: whether a GPU replays `repeated` as a graph, see `detection.training.graphs`. It does not where
            several processes train together or gradients of several batches add up.

    Raises:
        InputError: if the network has no such module, or all of it is frozen.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        learning_rate: float,
        schedule: Schedule,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        new_layers: frozenset[str] = frozenset(),
        new_layer_factor: float = 1.0,
        training_sizes: Sequence[int] = (),
        frozen: Sequence[str] = (),
        cuda_graphs: bool = True,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.new_layers = new_layers
        self.new_layer_factor = new_layer_factor
        self.training_sizes = tuple(training_sizes)
        self.frozen = tuple(frozen)
        self.cuda_graphs = cuda_graphs
        self._graphs: TrainingGraphs | None = None
        self._freeze()
        self._unchecked: list[tuple[Tensor, str]] = []
        self.measures: dict[str, Measure] = {}
        self._validated = False
        self._steps: int | None = None

    @property
    def progress(self) -> float:
        """Share of the run's optimiser steps that are done, 0-1; 0 before training."""
        return self.global_step / self._steps if self._steps else 0.0

    def training_size(self, progress: float) -> int:
        """Side of the network's input in training, in pixels, at `progress` 0-1 of the run."""
        return self.training_sizes[min(int(progress * len(self.training_sizes)), len(self.training_sizes) - 1)]

    def repeated(self, inputs: Tensor) -> Any:
        """What a training step computes of the network's input, the same each time; by default all of the network."""
        return self.network(inputs)

    def computed(self, inputs: Tensor) -> Any:
        """`repeated`, by the fastest way there is."""
        return self.repeated(inputs) if self._graphs is None else self._graphs(inputs)

    def on_fit_start(self) -> None:
        """Begin without graphs: the network may lie elsewhere than in an earlier run."""
        alone = self.trainer.world_size == 1 and self.trainer.accumulate_grad_batches == 1
        self._graphs = TrainingGraphs(self.network, self.repeated) if self.cuda_graphs and alone else None

    def on_fit_end(self) -> None:
        """Give the memory of the graphs back."""
        self._graphs = None

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or with False to measuring, all but what is frozen."""
        super().train(mode)
        for name in self.frozen:
            self.network.get_submodule(name).eval()
        return self

    def watch(self, loss: Tensor, files: str, **measures: Measure) -> None:
        """See to it that the loss of a training step is checked, and logged when it is time, with other measures.

        Args:
            loss: a scalar.
            files: names those of the batch.
            measures: by the names that they are logged under; computed only when somebody sees them.

        Raises:
            InputError: as `raise_if_diverged`.
        """
        if len(self._unchecked) == CHECKED_STEPS:
            self.raise_if_diverged()
        value = loss.detach()
        self._unchecked.append((value, files))
        self.measures = {"train_loss": lambda: value, **measures}

    def on_train_batch_end(self, *_: Any) -> None:
        """Log the measures of a step that goes into the log.

        Of every step it would take Lightning milliseconds. What it is told to show in its progress bar it reads after
        every step, for which it waits for a GPU; so the bar asks for `measures` itself.
        """
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a part of it
        if self.trainer.should_stop or (every and self.global_step % every == 0):
            self.log_dict({name: measure() for name, measure in self.measures.items()})

    def raise_if_diverged(self) -> None:
        """Check the losses of the last steps, of several at once, so that a GPU is seldom waited for.

        Raises:
            InputError: naming the files of the first batch whose loss is not finite.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        losses = torch.stack([loss for loss, _ in unchecked]).tolist()
        for loss, (_, files) in zip(losses, unchecked, strict=True):
            if not math.isfinite(loss):
                raise InputError(
                    f"step {self.global_step} or up to {len(losses)} earlier: expected a finite loss, got {loss}; "
                    f"lower the learning rate, or look for a broken sample among {files}"
                )

    def on_validation_epoch_end(self) -> None:
        self._validated = not self.trainer.sanity_checking

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

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.SGD(
            self._parameter_groups(),
            self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=self._can_fuse() or None,
        )
        self.trainer.fit_loop.setup_data()
        batches = int(self.trainer.num_training_batches)
        steps_an_epoch = math.ceil(batches / self.trainer.accumulate_grad_batches)
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError("trainer: expected max_epochs or max_steps, for the schedule of the learning rate")
        self._steps = int(steps)
        scheduler = self.schedule.build(optimizer, steps=self._steps, epochs=steps / steps_an_epoch)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _can_fuse(self) -> bool:
        """Whether a step is one kernel: on a GPU, where each is launched by the host.

        Not where gradients are clipped or scaled: Lightning leaves that to an optimiser that is fused.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        return self.device.type == "cuda" and not self.trainer.gradient_clip_val and not scaled

    def _freeze(self) -> None:
        modules = dict(self.network.named_modules())
        for name in self.frozen:
            if not name or name not in modules:
                some = ", ".join(one for one in modules if 0 < one.count(".") < 3 and _is_layer(modules[one]))
                raise InputError(f"frozen: expected modules of the network such as {some}, got '{name}'")
            modules[name].requires_grad_(False).eval()
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            raise InputError(f"frozen: expected layers that are left to train, got {', '.join(self.frozen)}")

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Weights decay, biases and normalisation do not; new layers learn faster."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name in self.new_layers, parameter.ndim > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.learning_rate * (self.new_layer_factor if new else 1),
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (new, decays), parameters in groups.items()
        ]


def _is_layer(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) and not isinstance(module, nn.ModuleDict)
