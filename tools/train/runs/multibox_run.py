"""A training run of MultiBox: its priors, its network, its data and its weights file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights
from detection.datasets.annotated_images import require_stated_sizes
from detection.errors import InputError
from detection.runtime.weights_files.engine import find_file
from detection.runtime.weights_files.tensor_file import metadata_keys
from detection.structures.ground_truth import GroundTruth
from detection.training.data_module import TrainingData
from detection.training.decoded_images import open_or_decode
from proposals.multibox.description import METADATA_KEY, SHIPPED, MultiBoxDescription
from proposals.multibox.network import MultiBox
from proposals.multibox.training.batch import MosaicCollation
from proposals.multibox.training.layout import Layout
from proposals.multibox.training.module import MultiBoxTraining
from proposals.multibox.training.mosaics import MeasuredMosaics, Mosaics, as_filler
from proposals.multibox.training.priors import kmeans_priors
from proposals.multibox.weights_file import load_multibox, save_multibox
from tools.command.experiment import add_run_options, training_options
from tools.command.options import Count, Side
from tools.train.runs.training_run import TrainingRun, require_no_difference

PRIORS = "network.priors"
"""Name of the priors in a checkpoint."""


def add_multibox_options(parser: ArgumentParser) -> None:
    """Add `--config`, a YAML file with any of the options, and the options themselves."""
    add_run_options(parser, skip={"new_layer_factor"})  # no layer is known to be new
    parser.set_defaults(batch_size=32, learning_rate=0.01, nesterov=True, output="runs/multibox")
    parser.add_argument("--validation_count", type=Count, default=500, help="number of mosaics to validate with")
    parser.add_class_arguments(Layout, "layout", help="layout of the mosaics to train on")
    parser.add_class_arguments(Layout, "validation_layout", help="layout of the mosaics to validate with")
    parser.add_argument("--input_size", type=Side, default=192, help="side of the network's input, in pixels")
    parser.add_argument("--trunk", type=Callable[[], nn.Module], help="the network below the head")
    parser.add_class_arguments(MultiBox, "head", skip={"trunk", "priors"}, instantiate=False)
    parser.add_argument("--priors", type=Count, default=1200, help="number of boxes that the network predicts")
    parser.add_argument(
        "--prior_mosaics", type=Count, default=4000, help="number of mosaics whose objects give the priors"
    )
    parser.add_class_arguments(MultiBoxTraining, skip={"network", "options"}, instantiate=False)


class MultiBoxRun(TrainingRun):
    """One run of `detect-train-multibox`; see `TrainingRun`."""

    metric = "val_recall"
    network_option = "trunk"

    def build_module(self) -> MultiBoxTraining:
        settings, built = self.settings, self.built
        priors = self._priors()
        network = MultiBox(built.trunk(), priors, **settings.head.as_dict())
        if settings.initial_weights is not None and self.checkpoint is None:
            take_weights(network, settings.initial_weights)
        names = inspect.signature(MultiBoxTraining).parameters.keys() - {"network", "options"}
        return MultiBoxTraining(network, training_options(built), **{name: built[name] for name in names})

    def data(self, module: MultiBoxTraining) -> TrainingData:
        settings, built = self.settings, self.built
        measured = Mosaics(
            self._records(settings.validation_split),
            built.validation_layout,
            size=settings.input_size,
            seed=0,  # so that every run is measured with the same pictures
        )
        training = None
        if settings.action == "fit":
            training = self._training_mosaics()
            paths = [record.path for record in training.records]
            training.read = open_or_decode(settings.decoded_images, paths, workers=settings.workers)
        collation = MosaicCollation(module.network.priors.numpy())
        return TrainingData(
            training,
            MeasuredMosaics(measured, min(settings.validation_count, len(measured))),
            batch_size=settings.batch_size,
            workers=settings.workers,
            training_collation=collation,
            collation=collation,
            filler=as_filler,
        )

    def describe(self) -> MultiBoxDescription:
        trunk, head = self.settings.trunk, self.settings.head.as_dict()
        description = MultiBoxDescription(
            trunk={"class_path": trunk.class_path, "init_args": trunk.init_args.as_dict()},
            head=head | {"maps": list(head["maps"])},
            priors=self.settings.priors,
            input_size=self.settings.input_size,
        )
        description.build_trunk()
        return description

    def origin(self) -> dict[str, Any]:
        return {"layout": self.settings.layout.as_dict()}

    def save(self, module: MultiBoxTraining, description: MultiBoxDescription) -> None:
        save_multibox(Path(self.settings.weights), module.network, description)

    def _priors(self) -> Tensor:
        """Return the priors [K, 4] of the checkpoint, or else those of the objects of the first training mosaics.

        They are zeros if the weights to start from are those of a MultiBox, because these bring priors of their own.

        Raises:
            InputError: if there are too few objects, or if the checkpoint has another number of priors.
        """
        settings = self.settings
        if self.checkpoint is not None:
            priors: Tensor | None = self.checkpoint["state_dict"].get(PRIORS)
            if priors is not None and priors.shape == (settings.priors, 4):
                return priors
            expected = f"{settings.ckpt_path}: expected a checkpoint of MultiBox with {settings.priors} priors"
            raise InputError(f"{expected}, got {'none' if priors is None else len(priors)}")
        if settings.initial_weights is not None and is_multibox(settings.initial_weights):
            return torch.zeros(settings.priors, 4)  # `take_weights` puts those of the file in their place
        mosaics = self._training_mosaics()
        drawn = MeasuredMosaics(mosaics, settings.prior_mosaics)
        boxes = np.concatenate([mosaics.boxes(drawn.key(index)) for index in range(len(drawn))]) / settings.input_size
        try:
            return torch.from_numpy(kmeans_priors(boxes, settings.priors, seed=settings.seed))
        except ValueError as error:
            raise InputError(f"prior_mosaics: {error}") from None

    def _records(self, split: str) -> Sequence[GroundTruth]:
        records: Sequence[GroundTruth] = self.built.dataset.read(split)
        require_stated_sizes(records)
        return records

    def _training_mosaics(self) -> Mosaics:
        records = self._records(self.settings.train_split)
        return Mosaics(records, self.built.layout, size=self.settings.input_size, seed=self.settings.seed)


def is_multibox(name: str) -> bool:
    """Return True if a path, or the bare name of a shipped file, names a weights file of MultiBox."""
    return METADATA_KEY in metadata_keys(find_file(name, SHIPPED))


def take_weights(network: MultiBox, name: str) -> None:
    """Copy weights into a network that is to be trained.

    A MultiBox gives all its weights and its priors. A classifier gives the weights of its trunk to the trunk.

    Args:
        network: the network that is to be trained.
        name: a path, or the bare name of a shipped file, of a MultiBox or a classifier.

    Raises:
        InputError: naming the file, if it is missing, or does not hold such a network.
    """
    if is_multibox(name):
        target: nn.Module = network
        path = find_file(name, SHIPPED)
        source = load_multibox(path)[0].state_dict()
        expected = "a MultiBox with the trunk, head and number of priors that are configured"
    else:
        path, target = find_weights(name), network.trunk
        source = load_weights(path)[0].state_dict()
        expected = "a classifier with the trunk that is configured"
    wanted = target.state_dict()
    differing = sorted(name for name in wanted if name not in source or source[name].shape != wanted[name].shape)
    require_no_difference(path, expected, differing)
    target.load_state_dict({name: source[name] for name in wanted})
