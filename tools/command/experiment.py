"""The options of an experiment file such as `tiny_imagenet.yaml`: data, network, training, detector.

One file describes how weights are made and how they are measured, so training and evaluation read the same options.
"""

from __future__ import annotations

import json
from argparse import SUPPRESS
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from typing import Literal

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveInt
from lightning.pytorch import Trainer
from torch import nn

from classifier.training.augmentation import Augmentation
from classifier.training.module import ClassifierTraining
from classifier.training.tasks import Task
from detection.configuration import DETECTOR_FILE, find_config, read_yaml
from detection.datasets.files.text_file import is_file
from detection.detector import Detector
from detection.structures.contracts import Classifier, Proposer
from detection.training.options import TrainingOptions
from tools.command.options import Count, Seed, Workers, add_config_option, add_dataset_options

SET_BY_THE_TOOL = {"network", "options", "class_names", "background", "label_sets", "seed"}
"""Arguments of `ClassifierTraining` that follow from other options."""

OF_A_DETECTOR = {"help", "config", "print_config", "data", "dataset", "detector", "proposals", "workers", "output"}
"""The options of an experiment that commands without training use."""

LoggerName = Literal["tensorboard", "wandb", "mlflow"]

SET_FOR_THE_TRAINER = {
    *("callbacks", "logger", "default_root_dir", "use_distributed_sampler"),
    *("limit_train_batches", "overfit_batches"),  # the order of the samples does not know of them
}


def add_experiment_options(parser: ArgumentParser, *, detector_required: bool) -> None:
    """Add `--config`, a YAML file with any of the options, and the options of a classifier and of its detector."""
    add_run_options(parser)
    parser.add_argument("--test_split", type=str | None, help="split that only the action test measures")
    parser.add_argument("--proposals", type=str | None, help="file of detect-propose to take the proposals from")
    parser.add_argument("--network", type=Callable[[int], nn.Module], help="network, given its number of outputs")
    parser.add_argument("--task", type=Task, required=True, help="what the samples are: whole images or regions")
    parser.add_argument("--box_regression", type=bool, default=False, help="also train a head that refines boxes")
    parser.add_argument(
        "--box_grid", type=PositiveInt | None, help="refine boxes from the last feature map, as a grid of this side"
    )
    parser.add_class_arguments(Augmentation, "augmentation")
    parser.add_class_arguments(ClassifierTraining, skip=SET_BY_THE_TOOL, instantiate=False)
    stages = {"propose": Proposer, "classify": Classifier}
    skipped = set() if detector_required else set(stages)
    parser.add_class_arguments(Detector, "detector", skip=skipped, instantiate=False)
    for name in skipped:
        parser.add_argument(f"--detector.{name}", type=stages[name] | None, help=f"the stage `{name}` of the detector")


def add_detector_experiment_options(
    parser: ArgumentParser, *, detector_required: bool, keep: Collection[str] = ()
) -> None:
    """Add `add_experiment_options` for a command that does not train.

    It reads the same files, so it has the same options. But those that it has no use for may be missing, and are not in
    its help: all but `OF_A_DETECTOR` and `keep`.
    """
    add_experiment_options(parser, detector_required=detector_required)
    for action in parser._actions:
        if action.dest.partition(".")[0] not in {*OF_A_DETECTOR, *keep}:
            action.required, action.help = False, SUPPRESS


def parse_experiment(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Return the options of a command with `add_experiment_options`, whose `--detector` may be a file or folder.

    Like `load_detector`, this finds shipped files by their names, and weights beside the file that names them.

    Raises:
        InputError: naming the file, if it cannot be used.
    """
    option = "--detector"
    whole = list(arguments)
    for place in [place for place, word in enumerate(whole[:-1]) if word == option][::-1]:
        whole[place : place + 2] = [f"{option}={whole[place + 1]}"]
    words = [_with_settings(word) if word.startswith(f"{option}=") else word for word in whole]
    settings: Namespace = parser.parse_args(words)
    return settings


def _with_settings(word: str) -> str:
    """Return `--detector=SETTINGS` as JSON for `--detector=FILE`."""
    option, _, value = word.partition("=")
    path = find_config(value, DETECTOR_FILE)
    return f"{option}={json.dumps(read_yaml(path))}" if is_file(path) else word


def add_run_options(parser: ArgumentParser, skip: Collection[str] = ()) -> None:
    """Add `--config` and the options that training runs have in common, but for the `TrainingOptions` in `skip`."""
    add_config_option(parser)
    parser.add_argument("--seed", type=Seed, default=1, help="seed of the order of the samples and of all random draws")
    parser.add_argument("--initial_seed", type=Seed, default=1, help="seed of the weights; one for all of an ensemble")
    add_dataset_options(parser)
    parser.add_argument("--train_split", type=str, default="train", help="split to train on")
    parser.add_argument("--validation_split", type=str, default="val", help="split that is measured during the run")
    parser.add_argument("--initial_weights", type=str | None, help="safetensors file to start from")
    parser.add_argument("--batch_size", type=Count, default=128, help="images in a batch of one process")
    parser.add_argument(
        "--workers", type=Workers, default=1, help="processes (in evaluation: threads) that load images"
    )
    parser.add_argument(
        "--decoded_images", type=str | None, help="file of decoded small images; the first run writes it"
    )
    parser.add_class_arguments(TrainingOptions, skip=set(skip), instantiate=False)
    parser.add_argument(
        "--average_decay", type=ClosedUnitInterval, default=0.999, help="decay of the weights' average; 0 for none"
    )
    parser.add_argument("--checkpoint_steps", type=PositiveInt, default=500, help="steps between writes of last.ckpt")
    parser.add_argument(
        "--early_stopping", type=NonNegativeInt | None, help="stop after this many validations without progress"
    )
    add_loggers_option(parser)
    parser.add_argument("--output", type=str, default="runs/classifier", help="folder for checkpoints and logs")
    parser.add_class_arguments(Trainer, "trainer", skip=SET_FOR_THE_TRAINER, instantiate=False)


def add_loggers_option(parser: ArgumentParser) -> None:
    """Add `--loggers`, the names of Lightning's loggers besides a CSV file."""
    text = "where to log besides a CSV file, such as wandb mlflow; default: TensorBoard if it is installed"
    parser.add_argument("--loggers", type=LoggerName, nargs="*", help=text)


def training_options(built: Namespace) -> TrainingOptions:
    """Return the options of the optimiser among the options of a command."""
    names = [field.name for field in fields(TrainingOptions) if field.name in built]
    return TrainingOptions(**{name: built[name] for name in names})
