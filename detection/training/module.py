"""The base of all training modules: optimiser, schedule, frozen layers, log, and a check of the losses.

`classifier.training.module` and `proposals.multibox.training.module` add what a network is trained for.
"""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from detection.errors import InputError
from detection.training.graphs import TrainingGraphs
from detection.training.memory_use import memory_use
from detection.training.options import TrainingOptions
from detection.training.schedules import CosineSchedule

CHECKED_STEPS = 20
"""Number of losses that are checked at once."""

RUN_SETTINGS_KEY = "run_settings"
"""Key of the settings of the run in a checkpoint."""

Measure = Callable[[], Tensor]
"""A function that computes a scalar when it is called."""


class SupervisedTraining(LightningModule):
    """A network that is trained by SGD, with a learning rate that follows a schedule.

    A subclass has a `training_step` that hands its loss to `watch`, and logs `val_loss` for schedules that follow it.

    Args:
        network: the network to train; it is brought into channels-last memory format.
        options: optimiser, schedule, frozen layers and input sizes.

    Attributes:
        new_layers: names of the parameters that start from random weights while the others are pre-trained; they learn
            faster by `new_layer_factor`.
        training_sizes: sides of the network's input in training, in pixels, each for an equal share of the steps.
        measures: the measures of the last step by their names, each a function that computes it.
        run_settings: the settings of the run as values for JSON, which are kept in checkpoints.

    Raises:
        InputError: if the network lacks a module that is to be frozen, or if nothing would be left to train.
    """

    def __init__(self, network: nn.Module, options: TrainingOptions) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.options = options
        self.new_layers: frozenset[str] = frozenset()
        self.training_sizes = tuple(options.training_sizes or ())
        self._graphs: TrainingGraphs | None = None
        self._freeze()
        self._unchecked: list[tuple[Tensor, str]] = []
        self.measures: dict[str, Measure] = {}
        self.run_settings: dict[str, Any] = {}
        self._validated = False
        self._steps: int | None = None

    @property
    def progress(self) -> float:
        """The share of the run's optimiser steps that are done, 0-1; 0 before training."""
        return self.global_step / self._steps if self._steps else 0.0

    def training_size(self, progress: float) -> int:
        """Return the side of the network's input in pixels when the share `progress` (0-1) of the run is done."""
        return self.training_sizes[min(int(progress * len(self.training_sizes)), len(self.training_sizes) - 1)]

    def compute(self, inputs: Tensor) -> Any:
        """Return what a GPU may replay as a graph in each training step: by default all outputs of the network."""
        return self.network(inputs)

    def replay(self, inputs: Tensor) -> Any:
        """Return `compute(inputs)`, by a CUDA graph if there is one."""
        return self.compute(inputs) if self._graphs is None else self._graphs(inputs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the settings of the run."""
        checkpoint[RUN_SETTINGS_KEY] = self.run_settings

    def on_fit_start(self) -> None:
        """Forget the graphs of an earlier run, in which the network may have been in other memory."""
        alone = self.trainer.world_size == 1 and self.trainer.accumulate_grad_batches == 1
        self._graphs = TrainingGraphs(self.network, self.compute) if self.options.cuda_graphs and alone else None

    def on_fit_end(self) -> None:
        """Free the memory of the graphs."""
        self._graphs = None

    def train(self, mode: bool = True) -> Self:
        """Switch all layers but the frozen ones to training, or to measuring if `mode` is False."""
        super().train(mode)
        for name in self.options.frozen:
            self.network.get_submodule(name).eval()
        return self

    def watch(self, loss: Tensor, files: str, **measures: Measure) -> None:
        """Take the loss of a training step, to check it later and to log it with other measures.

        Args:
            loss: the loss, a scalar.
            files: the names of the files of the batch.
            measures: functions by the names under which their results are logged; they are called only when a result
                is logged or shown.

        Raises:
            InputError: as `raise_if_diverged` does.
        """
        if len(self._unchecked) == CHECKED_STEPS:
            self.raise_if_diverged()
        value = loss.detach()
        self._unchecked.append((value, files))
        self.measures = {"train_loss": lambda: value, **measures}

    def on_train_batch_end(self, *_: Any) -> None:
        """Log the measures and the memory use of every `log_every_n_steps`-th step.

        Logging every step would take Lightning milliseconds each. With `prog_bar=True` it would read the measures after
        every step, and so wait for the GPU; instead, the progress bar reads `measures` itself.
        """
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # a connector sets it
        if self.trainer.should_stop or (every and self.global_step % every == 0):
            measures = {name: measure() for name, measure in self.measures.items()}
            self.log_dict({**measures, **memory_use(self.device)})

    def raise_if_diverged(self) -> None:
        """Check the losses of the last steps, all at once, so that the host seldom waits for the GPU.

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
        """Check the losses, and step a schedule that waits for a plateau if there was a validation."""
        self.raise_if_diverged()
        schedulers = self.lr_schedulers()
        if self._validated and isinstance(schedulers, ReduceLROnPlateau):
            schedulers.step(float(self.trainer.callback_metrics["val_loss"]))
        self._validated = False

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule unless it waits for a plateau: Lightning would step that one after the epoch's checkpoint."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.SGD(
            self._parameter_groups(),
            self.options.learning_rate,
            momentum=self.options.momentum,
            nesterov=self.options.nesterov,
            fused=self._can_fuse() or None,
        )
        self.trainer.fit_loop.setup_data()
        batches = int(self.trainer.num_training_batches)
        steps_per_epoch = math.ceil(batches / self.trainer.accumulate_grad_batches)
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError("trainer: expected max_epochs or max_steps, for the schedule of the learning rate")
        if steps < 1:
            raise InputError(f"trainer: expected max_epochs or max_steps of at least one step, got {steps:g}")
        self._steps = int(steps)
        schedule = self.options.schedule or CosineSchedule()
        scheduler = schedule.build(optimizer, steps=self._steps, epochs=steps / steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _can_fuse(self) -> bool:
        """Return True if a step of the optimiser can be a single kernel, which spares a GPU many launches.

        It cannot if gradients are clipped or scaled, because Lightning leaves both to a fused optimiser.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        return self.device.type == "cuda" and not self.trainer.gradient_clip_val and not scaled

    def _freeze(self) -> None:
        modules = dict(self.network.named_modules())
        for name in self.options.frozen:
            if not name or name not in modules:
                known = ", ".join(other for other in modules if 0 < other.count(".") < 3 and _is_layer(modules[other]))
                raise InputError(f"frozen: expected modules of the network such as {known}, got '{name}'")
            modules[name].requires_grad_(False).eval()
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            raise InputError(f"frozen: expected layers that are left to train, got {', '.join(self.options.frozen)}")

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups of parameters: only weights decay, not biases and normalisation; new layers learn faster."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name in self.new_layers, parameter.ndim > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.options.learning_rate * (self.options.new_layer_factor if new else 1),
                "weight_decay": self.options.weight_decay if decays else 0.0,
            }
            for (new, decays), parameters in groups.items()
        ]


def _is_layer(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) and not isinstance(module, nn.ModuleDict)
