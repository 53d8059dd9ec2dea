"""The options of an experiment file such as `configs/tiny_imagenet.yaml`: data, network, training, detector.

One file describes how weights are made and how they are measured, so training and evaluation read the same options.
"""

from __future__ import annotations

from collections.abc import Callable

from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer
from torch import nn

from classifier.training import RegionTraining
from detection.datasets import DataSet
from detection.detector import Detector


def add_experiment_options(parser: ArgumentParser) -> None:
    """Add `--config`, a YAML file with any of the options, and the options themselves."""
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_argument("--data", type=str, required=True, help="folder that holds the data set")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dataset", type=DataSet, required=True, help="reader of the data set")
    parser.link_arguments("data", "dataset.init_args.root")
    parser.add_argument("--train_split", type=str, default="train")
    parser.add_argument("--validation_split", type=str, default="val")
    parser.add_argument("--network", type=Callable[[int], nn.Module], help="a network, given its number of outputs")
    parser.add_argument("--regions_per_image", type=int, default=1)
    parser.add_argument("--foreground_fraction", type=float, default=0.25, help="of the regions, 0-1")
    parser.add_argument("--batch_size", type=int, default=128, help="images a step")
    parser.add_argument("--workers", type=int, default=1, help="processes that load images")
    parser.add_class_arguments(RegionTraining, skip={"network"}, instantiate=False)
    parser.add_argument("--average_decay", type=float, default=0.999, help="of the Polyak average of the weights")
    parser.add_argument("--output", type=str, default="runs/classifier", help="folder for checkpoints and logs")
    parser.add_class_arguments(Trainer, "trainer", skip={"callbacks", "logger", "default_root_dir"}, instantiate=False)
    parser.add_class_arguments(Detector, "detector", instantiate=False)
