"""The options of an experiment file such as `tiny_imagenet.yaml`: data, network, training, detector.

One file describes how weights are made and how they are measured, so training and evaluation read the same options.
"""

from __future__ import annotations

from collections.abc import Callable

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Trainer
from torch import nn

from classifier.training.augmentation import Augmentation
from classifier.training.module import ClassifierTraining
from classifier.training.tasks import Task
from detection.detector import Detector
from detection.structures.contracts import Classifier, Proposer
from tools.command.split_options import add_dataset_options

SET_BY_THE_TOOL = {"network", "class_names", "background", "label_sets", "seed", "new_layers"}
"""Arguments of `ClassifierTraining` that follow from other options."""

SET_FOR_THE_TRAINER = {
    *("callbacks", "logger", "default_root_dir", "use_distributed_sampler"),
    *("limit_train_batches", "overfit_batches"),  # the order of the samples does not know of them
}


def add_experiment_options(parser: ArgumentParser, *, detector_required: bool) -> None:
    """Add `--config`, a YAML file with any of the options, and the options themselves."""
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order and of all draws; members of an ensemble differ"
    )
    parser.add_argument("--initial_seed", type=int, default=1, help="of the weights, the same for all members")
    add_dataset_options(parser)
    parser.add_argument("--train_split", type=str, default="train")
    parser.add_argument("--validation_split", type=str, default="val", help="measured during a run, to choose by")
    parser.add_argument("--test_split", type=str | None, default=None, help="measured by test, and by nothing else")
    parser.add_argument(
        "--proposals", type=str | None, default=None, help="file of tools.propose to take the proposals from"
    )
    parser.add_argument("--network", type=Callable[[int], nn.Module], help="a network, given its number of outputs")
    parser.add_argument("--task", type=Task, required=True, help="whole images or regions")
    parser.add_argument("--box_regression", type=bool, default=False, help="train a head that refines boxes too")
    parser.add_argument("--initial_weights", type=str | None, default=None, help="safetensors to start from")
    parser.add_class_arguments(Augmentation, "augmentation")
    parser.add_argument("--batch_size", type=int, default=128, help="images a step and process")
    parser.add_argument("--workers", type=int, default=1, help="processes, in evaluation threads, that load images")
    parser.add_class_arguments(ClassifierTraining, skip=SET_BY_THE_TOOL, instantiate=False)
    add_run_options(parser, output="runs/classifier")
    stages = {"propose": Proposer, "classify": Classifier}
    skipped = set() if detector_required else set(stages)
    parser.add_class_arguments(Detector, "detector", skip=skipped, instantiate=False)
    for name in skipped:
        parser.add_argument(f"--detector.{name}", type=stages[name] | None, default=None)


def add_run_options(parser: ArgumentParser, *, output: str) -> None:
    """Add what does not depend on what is trained: decoded images, averaged weights, checkpoints, logs, the trainer."""
    parser.add_argument(
        "--decoded_images",
        type=str | None,
        default=None,
        help="file that keeps the pixels of the training images, made by the first run; for small images",
    )
    parser.add_argument("--average_decay", type=float, default=0.999, help="of the weights' Polyak average; 0 for none")
    parser.add_argument(
        "--checkpoint_steps", type=PositiveInt, default=500, help="steps between two writes of last.ckpt"
    )
    parser.add_argument("--early_stopping", type=int | None, default=None, help="validations without a better one")
    parser.add_argument("--output", type=str, default=output, help="folder for checkpoints and logs")
    parser.add_class_arguments(Trainer, "trainer", skip=SET_FOR_THE_TRAINER, instantiate=False)
