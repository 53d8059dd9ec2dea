"""From the options of an experiment to what a training run consists of: network, data, trainer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from classifier.region_network import RegionNetwork
from classifier.scoring.weights_file import NetworkDescription, find_weights, load_region_network
from classifier.training.module import CLASS_NAMES_KEY, NEW_LAYERS_KEY, ClassifierTraining
from classifier.training.samples.region_batch import RegionCollation, uncounted
from classifier.whole_images.image_classifier import require_same_classes
from detection.errors import InputError
from detection.image import read_image
from detection.structures.contracts import CachedProposals
from detection.training.averaging import AveragedWeights
from detection.training.checkpoints import Checkpoints, read_checkpoint
from detection.training.data_module import TrainingData
from detection.training.decoded_images import ImageReader, open_or_decode
from tools.command.experiment import SET_BY_THE_TOOL
from tools.train.runs.memory_use import MemoryMonitor
from tools.train.runs.progress import Progress

CLASS_LAYERS = ("trunk.linear.", "box_head.")
"""Beginnings of the names of parameters that belong to the classes."""

PROGRESS_STEPS = 20
"""Between two updates of the progress bar: at each, the host waits for the loss on a GPU."""

HEADS = (*CLASS_LAYERS, "trunk.auxiliary.")
"""Those of parameters that may start afresh where the others are pre-trained."""


def build_module(settings: Namespace, built: Namespace) -> ClassifierTraining:
    """The network for the data set's classes, with its loss and optimiser."""
    names = inspect.signature(ClassifierTraining).parameters.keys() - SET_BY_THE_TOOL
    options = {name: built[name] for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.initial_seed)
        network = build_network(settings, built)
    fresh = frozenset[str]()
    if settings.initial_weights is not None and settings.get("ckpt_path") is None:
        fresh = take_weights(network, find_weights(settings.initial_weights), describe(settings, built))
    return ClassifierTraining(
        network,
        class_names=built.dataset.class_names,
        background=built.task.background,
        label_sets=built.task.label_sets(built.dataset.class_names),
        seed=settings.seed,
        new_layers=fresh,
        **options,
    )


def build_data(
    settings: Namespace,
    built: Namespace,
    module: ClassifierTraining,
    *,
    action: str,
    proposals: CachedProposals | None = None,
) -> TrainingData:
    """The samples of the splits that the action ("fit", "validate" or "test") reads."""
    training = None
    if action == "fit":
        training = built.task.training_samples(
            built.dataset,
            settings.train_split,
            proposals=proposals,
            augmentation=built.augmentation,
            seed=settings.seed,
        )
        training.read_by(image_reader(settings, training.files()))
    largest = max(module.training_sizes)
    return TrainingData(
        training,
        built.task.validation_samples(
            built.dataset, settings.test_split if action == "test" else settings.validation_split
        ),
        batch_size=settings.batch_size,
        workers=settings.workers,
        training_collation=RegionCollation(size=largest, context=module.training_context(largest)),
        collation=RegionCollation(size=module.input_size, context=module.context),
        filler=uncounted,
    )


def image_reader(settings: Namespace, images: Sequence[Path]) -> ImageReader:
    """What gives the pixels of the images to train on.

    Raises:
        InputError: naming the image or file that cannot be used.
    """
    if settings.decoded_images is None:
        return read_image
    return open_or_decode(Path(settings.decoded_images), images, workers=settings.workers)


def build_network(settings: Namespace, built: Namespace) -> RegionNetwork:
    """The network with fresh weights and the heads that are configured.

    Raises:
        InputError: if boxes are to be refined where there are no regions.
    """
    if settings.box_regression and not built.task.background:
        raise InputError(f"box_regression: expected a task with regions, got {settings.task.class_path}")
    description = describe(settings, built)
    trunk = built.network(description.num_outputs)
    return RegionNetwork(trunk, box_classes=len(description.class_names) if settings.box_regression else None)


def take_weights(network: RegionNetwork, path: Path, wanted: NetworkDescription) -> frozenset[str]:
    """Copy the weights of a file into `network`; returns the names of the parameters that start afresh.

    Those are the layers of the classes, where the file knows other classes than are `wanted`, and heads that it lacks.

    Raises:
        InputError: naming the file, if anything else does not fit.
    """
    found, description = load_region_network(path)
    source, target = found.state_dict(), network.state_dict()
    known = ("class_names", "background", "head")
    if any(getattr(description, name) != getattr(wanted, name) for name in known):
        source = {name: value for name, value in source.items() if not name.startswith(CLASS_LAYERS)}
    fresh = {name for name in target if name not in source or source[name].shape != target[name].shape}
    strange = sorted(name for name in fresh | (source.keys() - target.keys()) if not name.startswith(HEADS))
    if strange:
        raise InputError(
            f"{path}: expected weights of the network that is configured, but {strange[0]} is not in both, or of "
            f"another shape ({len(strange)} such)"
        )
    network.load_state_dict(target | {name: source[name] for name in target.keys() - fresh})
    return frozenset(fresh)


def fit_to_checkpoint(path: Path, module: ClassifierTraining) -> None:
    """See whether a checkpoint is of the network that is configured, and learn from it which layers were new.

    Raises:
        InputError: naming the file, if it is not, or if it knows other classes.
    """
    checkpoint = read_checkpoint(path)
    module.new_layers = frozenset(checkpoint.get(NEW_LAYERS_KEY, ()))
    if (classes := checkpoint.get(CLASS_NAMES_KEY)) != list(module.class_names):
        require_same_classes(str(path), classes or [], "the data set", module.class_names)
    require_same_tensors(path, checkpoint, module)


def require_same_tensors(path: Path, checkpoint: dict[str, Any], module: LightningModule) -> None:
    """See whether a checkpoint has the tensors of the network that is configured.

    Raises:
        InputError: naming the file and the first tensor that differs.
    """
    found = {name: value.shape for name, value in checkpoint["state_dict"].items()}
    expected = {name: value.shape for name, value in module.state_dict().items()}
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if differing:
        name = differing[0]
        shapes = (list(shapes[name]) if name in shapes else "nothing" for shapes in (expected, found))
        raise InputError(
            "{}: expected a checkpoint of the network that is configured: {} {}, got {}".format(path, name, *shapes)
        )


def build_trainer(
    settings: Namespace, options: dict[str, Any], extra: Sequence[Callback] = (), *, metric: str = "val_top1"
) -> Trainer:
    """Lightning's trainer with its own `options`, checkpoints, the averaged weights, logs, and `extra` callbacks.

    The best checkpoint is that of the highest `metric`.
    """
    output = Path(settings.output)
    callbacks: list[Callback] = [
        Checkpoints(output, metric=metric, every_steps=settings.checkpoint_steps),
        LearningRateMonitor("step"),
        MemoryMonitor(),
        *extra,
    ]
    if options.get("enable_progress_bar") is not False:
        callbacks.append(Progress(PROGRESS_STEPS))
    if settings.average_decay:
        callbacks.append(AveragedWeights(settings.average_decay))
    if settings.early_stopping is not None:
        callbacks.append(EarlyStopping(metric, mode="max", patience=settings.early_stopping, strict=False))
    loggers: list[Logger] = [CSVLogger(output, name="log")]
    if find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(output, name="tensorboard"))
    return Trainer(
        **options,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=output,
        use_distributed_sampler=False,  # the order of samples is our own
    )


def require_startable(settings: Namespace) -> None:
    """See whether there is a checkpoint to measure, or none that a new run would overwrite, and weights to freeze.

    Raises:
        InputError: naming the option or the file.
    """
    if settings.action != "fit" and settings.ckpt_path is None:
        raise InputError(f"{settings.action}: expected --ckpt_path, the checkpoint to measure")
    if settings.action != "fit" or settings.ckpt_path is not None:
        return
    if settings.frozen and settings.initial_weights is None:
        raise InputError("frozen: expected --initial_weights, the weights that are kept")
    last = Path(settings.output) / "last.ckpt"
    if last.exists():
        raise InputError(
            f"{last}: expected no earlier run there; go on with --ckpt_path {last}, or choose another --output"
        )


def go_on_from(settings: Namespace) -> str:
    """What to do when a run was interrupted."""
    return f"go on with --ckpt_path {Path(settings.output) / 'last.ckpt'}"


def describe(settings: Namespace, built: Namespace, **training: object) -> NetworkDescription:
    """What the weights file will say of the network that is configured."""
    if not isinstance(settings.network, Namespace):
        raise InputError(f"network: expected a network of the package classifier, got {settings.network}")
    arguments = settings.network.init_args.as_dict()
    return NetworkDescription(
        class_path=settings.network.class_path,
        init_args={name: value for name, value in arguments.items() if name != "auxiliary_heads"},
        class_names=built.dataset.class_names,
        input_size=settings.input_size,
        context=settings.context,
        background=built.task.background,
        box_regression=settings.box_regression,
        training=training,
    )
