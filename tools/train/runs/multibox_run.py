"""From the options of `tools.train_multibox` to what its run consists of: priors, network, data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from classifier.scoring.weights_file import find_weights, load_weights
from detection.errors import InputError
from detection.training.checkpoints import read_checkpoint
from detection.training.data_module import TrainingData
from proposals.multibox.network import MultiBox
from proposals.multibox.priors import kmeans_priors
from proposals.multibox.training.module import MultiBoxTraining
from proposals.multibox.training.mosaic_batch import MosaicCollation
from proposals.multibox.training.mosaic_layout import Layout
from proposals.multibox.training.mosaics import MeasuredMosaics, Mosaics, as_filler
from proposals.multibox.weights_file import MultiBoxDescription
from tools.command.experiment import add_run_options
from tools.command.split_options import add_dataset_options
from tools.train.runs.classifier_run import image_reader, require_same_tensors

PRIORS = "network.priors"
"""Name of the priors in a checkpoint."""


def add_multibox_options(parser: ArgumentParser) -> None:
    """Add `--config`, a YAML file with any of the options, and the options themselves."""
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_argument("--seed", type=int, default=1, help="of the order, of all draws and of the priors")
    parser.add_argument("--initial_seed", type=int, default=1, help="of the first weights")
    add_dataset_options(parser)
    parser.add_argument("--train_split", type=str, default="train")
    parser.add_argument("--validation_split", type=str, default="val")
    parser.add_argument("--validation_count", type=PositiveInt, default=500, help="mosaics of the validation split")
    parser.add_class_arguments(Layout, "layout", help="of the mosaics to train on")
    parser.add_class_arguments(Layout, "validation_layout", help="of those to measure with")
    parser.add_argument("--input_size", type=PositiveInt, default=192, help="side of the network's input, in pixels")
    parser.add_argument("--trunk", type=Callable[[], nn.Module], help="the network below the head")
    parser.add_class_arguments(MultiBox, "head", skip={"trunk", "priors"}, instantiate=False)
    parser.add_argument("--priors", type=PositiveInt, default=1200, help="boxes that the network predicts")
    parser.add_argument("--prior_mosaics", type=PositiveInt, default=4000, help="whose objects give the priors")
    parser.add_argument(
        "--initial_weights", type=str | None, default=None, help="safetensors of a classifier, for the trunk"
    )
    parser.add_argument("--batch_size", type=PositiveInt, default=32, help="mosaics a step and process")
    parser.add_argument("--workers", type=int, default=1, help="processes that make mosaics")
    parser.add_class_arguments(MultiBoxTraining, skip={"network"}, instantiate=False)
    add_run_options(parser, output="runs/multibox")


def build_training(settings: Namespace, built: Namespace) -> MultiBoxTraining:
    """The network, with its loss and optimiser; the priors are made now, or those of the checkpoint.

    Raises:
        InputError: naming the file, if the checkpoint or the initial weights do not fit the network.
    """
    path = None if settings.ckpt_path is None else Path(settings.ckpt_path)
    checkpoint = None if path is None else read_checkpoint(path)
    priors = make_priors(settings, built) if checkpoint is None else _checkpoint_priors(checkpoint, path, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.initial_seed)
        network = MultiBox(built.trunk(), priors, **settings.head.as_dict())
    if settings.initial_weights is not None and checkpoint is None:
        take_trunk(network.trunk, find_weights(settings.initial_weights))
    names = inspect.signature(MultiBoxTraining).parameters.keys() - {"network"}
    module = MultiBoxTraining(network, **{name: built[name] for name in names})
    if path is not None and checkpoint is not None:
        require_same_tensors(path, checkpoint, module)
    return module


def make_priors(settings: Namespace, built: Namespace) -> Tensor:
    """The priors [K, 4] of the objects of the first mosaics of the training split.

    Raises:
        InputError: if there are too few objects.
    """
    mosaics = training_mosaics(settings, built)
    drawn = MeasuredMosaics(mosaics, settings.prior_mosaics)
    boxes = np.concatenate([mosaics.boxes(drawn.key(index)) for index in range(len(drawn))]) / settings.input_size
    try:
        return torch.from_numpy(kmeans_priors(boxes, settings.priors, seed=settings.seed))
    except ValueError as error:
        raise InputError(f"prior_mosaics: {error}") from None


def take_trunk(trunk: nn.Module, path: Path) -> None:
    """Copy the weights of a classifier into the trunk, all but those of its classes.

    Raises:
        InputError: naming the file, if it is not of a network with this trunk.
    """
    source = load_weights(path)[0].state_dict()
    wanted = trunk.state_dict()
    strange = sorted(name for name in wanted if name not in source or source[name].shape != wanted[name].shape)
    if strange:
        raise InputError(
            f"{path}: expected a classifier with the trunk that is configured, but {strange[0]} is not in both, or of "
            f"another shape ({len(strange)} such)"
        )
    trunk.load_state_dict({name: source[name] for name in wanted})


def training_mosaics(settings: Namespace, built: Namespace) -> Mosaics:
    """What the training draws from."""
    records = built.dataset.read(settings.train_split)
    return Mosaics(records, built.layout, size=settings.input_size, seed=settings.seed)


def build_data(settings: Namespace, built: Namespace, module: MultiBoxTraining) -> TrainingData:
    """The mosaics of the splits that are configured; of the training split only to fit."""
    measured = Mosaics(
        built.dataset.read(settings.validation_split),
        built.validation_layout,
        size=settings.input_size,
        seed=0,  # whatever the run, the same pictures
    )
    training = None
    if settings.action == "fit":
        training = training_mosaics(settings, built)
        training.read = image_reader(settings, [record.path for record in training.records])
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


def describe(settings: Namespace, **training: object) -> MultiBoxDescription:
    """What the weights file will say of the network that is configured.

    Raises:
        InputError: if the trunk is not of this project, whose networks alone are built from a weights file.
    """
    if not isinstance(settings.trunk, Namespace):
        raise InputError(f"trunk: expected a network of the package classifier, got {settings.trunk}")
    head = settings.head.as_dict()
    description = MultiBoxDescription(
        trunk={"class_path": settings.trunk.class_path, "init_args": settings.trunk.init_args.as_dict()},
        head=head | {"maps": list(head["maps"])},
        priors=settings.priors,
        input_size=settings.input_size,
        training=training,
    )
    try:
        description.build_trunk()
    except ValueError as error:
        raise InputError(f"trunk: {error}") from None
    return description


def _checkpoint_priors(checkpoint: dict[str, Any], path: Path | None, settings: Namespace) -> Tensor:
    priors = checkpoint["state_dict"].get(PRIORS)
    if priors is None or priors.shape != (settings.priors, 4):
        found = "none" if priors is None else len(priors)
        raise InputError(f"{path}: expected a checkpoint of MultiBox with {settings.priors} priors, got {found}")
    found_priors: Tensor = priors
    return found_priors
