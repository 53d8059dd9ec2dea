"""The parts that training commands share: their four actions, and the checks before the work begins.

`TrainingRun` is the base of `classifier_run.ClassifierRun` and `multibox_run.MultiBoxRun`, which say what is trained on
which data. `trainer.py` builds Lightning's trainer.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import nn

from detection.errors import InputError
from detection.runtime.output_file import require_writable
from detection.training.checkpoints import BEST, LAST, read_checkpoint
from detection.training.data_module import TrainingData
from detection.training.module import RUN_SETTINGS_KEY, SupervisedTraining
from tools.command.killed_loaders import naming_killed_loaders
from tools.command.option_parser import as_input_errors
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output
from tools.train.runs.resumed_run import require_same_run, settings_of_run
from tools.train.runs.trainer import build_trainer, naming_lightnings_errors


def add_action_options(parser: ArgumentParser, *actions: str) -> None:
    """Add the name of the action to run, and the files that the actions read and write."""
    parser.add_argument("action", choices=actions, help="what to do with the experiment")
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to resume, measure or export")
    parser.add_argument("--weights", type=str | None, default=None, help="safetensors file that export writes")
    add_overwrite_option(parser)


class TrainingRun(ABC):
    """One action of a training command on the experiment that its options describe.

    Args:
        parser: the parser of the command.
        settings: the options as the parser has read them.

    Attributes:
        built: the options with their classes instantiated.
        metric: name of the measure in validation whose highest value makes the best checkpoint.
        network_option: name of the option that configures the network.
    """

    metric: str
    network_option: str

    def __init__(self, parser: ArgumentParser, settings: Namespace) -> None:
        self.settings = settings
        self.command = parser.prog
        self.built: Namespace = parser.instantiate(settings)

    @abstractmethod
    def build_module(self) -> SupervisedTraining:
        """Return the network with fresh or initial weights, its loss and its optimiser."""

    @abstractmethod
    def data(self, module: Any) -> TrainingData:
        """Return the samples of the splits that the action reads."""

    @abstractmethod
    def describe(self) -> Any:
        """Return the description, a dataclass, that the weights file of the network will hold.

        Raises:
            ValueError: if the network could not be built again from its description.
        """

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Return what exported weights are to mention beside their data set, seeds and steps."""

    @abstractmethod
    def save(self, module: Any, description: Any) -> None:
        """Write the weights of the network to the file `--weights`."""

    @cached_property
    def description(self) -> Any:
        """The description that the weights file of the network will hold.

        Raises:
            InputError: if the network is not one of this project; no other network can be built from a weights file.
        """
        configured = self.settings[self.network_option]
        if not isinstance(configured, Namespace):
            expected = f"{self.network_option}: expected a network of the package classifier"
            raise InputError(f"{expected}, got {configured}")
        with as_input_errors(self.network_option):
            return self.describe()

    @cached_property
    def checkpoint(self) -> dict[str, Any] | None:
        """The content of the file `--ckpt_path`, or None without this option."""
        return None if self.settings.ckpt_path is None else read_checkpoint(Path(self.settings.ckpt_path))

    def module(self) -> SupervisedTraining:
        """Return the network, its loss and its optimiser; `--initial_seed` determines the random weights.

        Raises:
            InputError: naming the file, if the checkpoint or the initial weights do not fit the network.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.initial_seed)
            with as_input_errors():
                module = self.build_module()
                require_computable(module.network, min(self.settings.training_sizes or [self.settings.input_size]))
        if self.checkpoint is not None:
            require_same_tensors(self.settings.ckpt_path, self.checkpoint, module)
        return module

    def act(self) -> None:
        """Fit, validate, test or export, as the option `action` says."""
        settings = self.settings
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no advice about Lightning's own services
        if settings.action == "export":
            self._export()
            return
        with naming_killed_loaders(settings.workers, f"go on with --ckpt_path {self._last_checkpoint()}"):
            self._require_startable()
            _ = self.description  # tells before the work, not after it, if the weights could not be exported
            module = self.module()
            stored = {} if self.checkpoint is None else self.checkpoint.get(RUN_SETTINGS_KEY) or {}
            del self.checkpoint  # frees its memory; Lightning reads the file again
            data = self.data(module)
            self._require_measured(data)
            trainer = build_trainer(settings, vars(self.built.trainer), metric=self.metric)
            if data.training is not None:
                module.run_settings = settings_of_run(self.built, settings, trainer, data.training)
                if settings.ckpt_path is not None:
                    require_same_run(settings.ckpt_path, stored, module.run_settings)
            with naming_lightnings_errors():
                getattr(trainer, settings.action)(module, datamodule=data, ckpt_path=settings.ckpt_path)

    def _export(self) -> None:
        settings = self.settings
        if settings.ckpt_path is None or settings.weights is None:
            raise InputError("export: expected --ckpt_path, the checkpoint, and --weights, the file to write")
        file = prepare_output(settings, "weights", WEIGHTS, self.command)
        module, checkpoint = self.module(), self.checkpoint or {}
        module.load_state_dict(checkpoint["state_dict"])
        training = {
            "made_by": file.made_by,
            "dataset": settings.dataset.class_path,
            "split": settings.train_split,
            **self.origin(),
            **{name: settings[name] for name in ("initial_weights", "initial_seed", "seed")},
            "steps": checkpoint["global_step"],
            "torch": torch.__version__,
        }
        self.save(module, replace(self.description, training=training))
        print(file.summary)

    def _require_measured(self, data: TrainingData) -> None:
        """Check that there are samples to measure with; Lightning would measure nothing, and say nothing about it.

        Raises:
            InputError: naming the option that names the split.
        """
        settings = self.settings
        option = "test_split" if settings.action == "test" else "validation_split"
        if len(data.measured) == 0 and vars(self.built.trainer).get("limit_val_batches") != 0:  # type: ignore[arg-type]
            raise InputError(f"{option}: expected objects in split '{settings[option]}', found none to measure with")

    def _last_checkpoint(self) -> Path:
        return Path(self.settings.output) / LAST

    def _require_startable(self) -> None:
        """Check that the checkpoint to measure is given, or that a new run overwrites none and has what it freezes.

        Raises:
            InputError: naming the option or the file.
        """
        settings, last = self.settings, self._last_checkpoint()
        if settings.action != "fit" and settings.ckpt_path is None:
            raise InputError(f"{settings.action}: expected --ckpt_path, the checkpoint to measure")
        if settings.action != "fit":
            return
        if settings.frozen and settings.initial_weights is None and settings.ckpt_path is None:
            raise InputError("frozen: expected --initial_weights, the weights that are kept")
        goes_on = settings.ckpt_path is not None and Path(settings.ckpt_path).resolve().parent == last.resolve().parent
        earlier = next((path for path in (last, last.with_name(BEST)) if path.exists()), None)
        if earlier is not None and not goes_on:
            raise InputError(
                f"{earlier}: expected no earlier run there; go on with --ckpt_path {earlier}, or choose another "
                "--output"
            )
        require_writable(last)


def require_computable(network: nn.Module, size: int) -> None:
    """Check that a network can compute pictures of the smallest size; it is left as it was.

    Raises:
        RuntimeError: if its layers need larger ones.
    """
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, size, size))
    finally:
        for module, mode in modes.items():
            module.training = mode


def require_same_tensors(path: str, checkpoint: dict[str, Any], module: nn.Module) -> None:
    """Check that a checkpoint has the tensors of the network that is configured.

    Raises:
        InputError: naming the file and the first tensor that differs.
    """
    found, expected = (
        {name: list(value.shape) for name, value in state.items()}
        for state in (checkpoint["state_dict"], module.state_dict())
    )
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            shapes = f"{name} {expected.get(name, 'nothing')}, got {found.get(name, 'nothing')}"
            raise InputError(f"{path}: expected a checkpoint of the network that is configured: {shapes}")


def require_no_difference(path: Path, expected: str, names: Sequence[str]) -> None:
    """Check that no tensors differ between a weights file and the network that is to take its weights.

    Raises:
        InputError: naming the file and the first of the tensors `names`.
    """
    if names:
        raise InputError(
            f"{path}: expected {expected}, but {names[0]} is not in both, or of another shape ({len(names)} such)"
        )
