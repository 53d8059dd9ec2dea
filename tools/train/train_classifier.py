"""Train a detector of your own classes, or a region classifier with all its settings, with Lightning.

detect-train DATA --time 10m
detect-train fit --config tiny_imagenet.yaml --data FOLDER
detect-train fit --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt   # resume
detect-train validate --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt
detect-train test --config ... --data FOLDER --ckpt_path ... --test_split test
detect-train export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors

The first form is in `tools.train.own_classes`. The actions are in `tools.train.runs.training_run`, the network and its
data in `tools.train.runs.classifier_run`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tools.command.entry_point import command
from tools.command.experiment import parse_experiment
from tools.train.own_classes.command import train_own_classes
from tools.train.runs.classifier_run import ACTIONS, ClassifierRun, build_parser

__all__ = ["build_parser", "main"]

MODULE = "tools.train.train_classifier"
"""The import path of this module, which a training of own classes runs in a process of its own."""


@command("detect-train")
def main(arguments: Sequence[str]) -> None:
    """Run the action that the first argument names, or else train a detector of own classes."""
    if not arguments or arguments[0] not in ACTIONS:
        train_own_classes(arguments, fit_module=MODULE)
        return
    parser = build_parser()
    ClassifierRun(parser, parse_experiment(parser, arguments)).act()


if __name__ == "__main__":
    sys.exit(main())
