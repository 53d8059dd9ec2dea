"""Train a region classifier with Lightning, and export its weights.

python -m tools.train_classifier fit --config configs/tiny_imagenet.yaml --data FOLDER
python -m tools.train_classifier fit --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt   # resume
python -m tools.train_classifier validate --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt
python -m tools.train_classifier export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors
"""

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from classifier.checkpoints import Checkpoints, read_checkpoint
from classifier.data_module import TrainingData
from classifier.region_network import RegionNetwork
from classifier.training import ClassifierTraining
from classifier.weights_file import NetworkDescription, find_weights, load_region_network, save_weights
from detection.errors import InputError
from proposals.cache import ProposalCache
from tools.experiment import SET_BY_THE_TOOL, add_experiment_options
from tools.image_proposals import open_cache

HEADS = ("trunk.linear.", "trunk.auxiliary.", "box_head.")
"""Beginnings of the names of parameters that may start afresh where the others are pre-trained."""

ACTIONS = ("fit", "validate", "test", "export")


def build_parser() -> ArgumentParser:
    """The options of all actions; every one but the action can stand in the YAML file of `--config`."""
    parser = ArgumentParser(prog="python -m tools.train_classifier", description="Train a region classifier.")
    parser.add_argument("action", choices=ACTIONS)
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to go on from, or to measure")
    parser.add_argument("--weights", type=str | None, default=None, help="safetensors file that export writes")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one action; returns the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        propose = settings.pop("detector").propose  # the rest may name weights that are only now being made
        built = parser.instantiate(settings)
        if settings.action == "export":
            export(settings, built)
        else:
            run(settings, built, open_cache(settings, propose))
    except InputError as error:
        print(f"train_classifier: {error.line}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        last = Path(settings.output) / "last.ckpt"
        print(
            f"train_classifier: a loader process was killed, perhaps for want of memory: expected --workers "
            f"{settings.workers} of them to live; go on with --ckpt_path {last}",
            file=sys.stderr,
        )
        return 1
    return 0


def run(settings: Namespace, built: Namespace, proposals: ProposalCache | None) -> None:
    """Train, or measure a checkpoint."""
    if settings.action != "fit" and settings.ckpt_path is None:
        raise InputError(f"{settings.action}: expected --ckpt_path, the checkpoint to measure")
    module = build_module(settings, built)
    if settings.ckpt_path is not None:
        check_checkpoint(Path(settings.ckpt_path), module)
    data = TrainingData(
        built.task.training_samples(
            built.dataset,
            settings.train_split,
            proposals=proposals,
            augmentation=built.augmentation,
            seed=settings.seed,
        ),
        built.task.validation_samples(built.dataset, settings.validation_split),
        batch_size=settings.batch_size,
        workers=settings.workers,
    )
    getattr(build_trainer(settings), settings.action)(module, datamodule=data, ckpt_path=settings.ckpt_path)


def build_module(settings: Namespace, built: Namespace) -> ClassifierTraining:
    """The network for the data set's classes, with its loss and optimiser."""
    names = inspect.signature(ClassifierTraining).parameters.keys() - SET_BY_THE_TOOL
    options = {name: built[name] for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.initial_seed)
        network = build_network(settings, built)
    fresh = frozenset[str]()
    if settings.initial_weights is not None:
        fresh = take_weights(network, Path(settings.initial_weights))
    return ClassifierTraining(
        network, background=built.task.background, seed=settings.seed, new_layers=fresh, **options
    )


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


def take_weights(network: RegionNetwork, path: Path) -> frozenset[str]:
    """Copy the weights of a file into `network`; returns the names of the parameters that it has no fit for.

    Those are the last layer's where the number of outputs differs, and those of heads that the file has not.

    Raises:
        InputError: naming the file, if anything else does not fit.
    """
    source = load_region_network(find_weights(str(path)))[0].state_dict()
    target = network.state_dict()
    fresh = {name for name in target if name not in source or source[name].shape != target[name].shape}
    strange = [name for name in fresh if not name.startswith(HEADS)] + sorted(source.keys() - target.keys())
    if strange:
        raise InputError(
            f"{path}: expected weights of the network that is configured, but {strange[0]} is not in both, or of "
            f"another shape ({len(strange)} such)"
        )
    network.load_state_dict(target | {name: value for name, value in source.items() if name not in fresh})
    return frozenset(fresh)


def check_checkpoint(path: Path, module: ClassifierTraining) -> None:
    """See whether a checkpoint is of the network that is configured.

    Raises:
        InputError: naming the file, if it is not.
    """
    found = {name: value.shape for name, value in read_checkpoint(path)["state_dict"].items()}
    expected = {name: value.shape for name, value in module.state_dict().items()}
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if differing:
        name = differing[0]
        shapes = (list(shapes[name]) if name in shapes else "nothing" for shapes in (expected, found))
        raise InputError(
            "{}: expected a checkpoint of the network that is configured: {} {}, got {}".format(path, name, *shapes)
        )


def build_trainer(settings: Namespace) -> Trainer:
    """Lightning's trainer with checkpoints, the averaged weights, and logs."""
    output = Path(settings.output)
    callbacks: list[Callback] = [
        EMAWeightAveraging(decay=settings.average_decay),
        Checkpoints(output, metric="val_top1"),
        LearningRateMonitor("step"),
    ]
    if settings.early_stopping is not None:
        callbacks.append(EarlyStopping("val_top1", mode="max", patience=settings.early_stopping))
    loggers: list[Logger] = [CSVLogger(output, name="log")]
    if find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(output, name="tensorboard"))
    return Trainer(
        **settings.trainer,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=output,
        use_distributed_sampler=False,  # the order of samples is our own
    )


def describe(settings: Namespace, built: Namespace, **training: object) -> NetworkDescription:
    """What the weights file will say of the network that is configured."""
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


def export(settings: Namespace, built: Namespace) -> None:
    """Write the averaged weights of a checkpoint as safetensors, without auxiliary heads."""
    if settings.ckpt_path is None or settings.weights is None:
        raise InputError("export: expected --ckpt_path, the checkpoint, and --weights, the file to write")
    check_checkpoint(Path(settings.ckpt_path), build_module(settings, built))
    checkpoint = read_checkpoint(Path(settings.ckpt_path))
    description = describe(
        settings,
        built,
        dataset=settings.dataset.class_path,
        split=settings.train_split,
        task=settings.task.class_path,
        initial_weights=settings.initial_weights,
        initial_seed=settings.initial_seed,
        seed=settings.seed,
        steps=checkpoint["global_step"],
        torch=torch.__version__,
    )
    network = description.build_region_network()
    prefix = "network."
    state = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()}
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("trunk.auxiliary.")})
    save_weights(Path(settings.weights), network, description)


if __name__ == "__main__":
    sys.exit(main())
