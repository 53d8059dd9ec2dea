"""All commands of `pyproject.toml` with their actions: the `main` and the parser of each, for tests of every option."""

from __future__ import annotations

import argparse
import importlib
import tomllib
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser

from tools.command.entry_point import Main
from tools.train import train_classifier
from tools.train.own_classes import command as own_classes

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


SHOWING = (argparse._HelpAction, argparse._VersionAction)


class Command(NamedTuple):
    """A command or an action of one: its first arguments, its entry point, and the parser of its options."""

    name: str
    first: list[str]
    main: Main
    parser: argparse.ArgumentParser

    def run(self, *arguments: object) -> int:
        """Return the exit status of the command with these arguments, also if its parser ends it."""
        try:
            return self.main([*self.first, *map(str, arguments)])
        except SystemExit as stopped:
            return int(stopped.code or 0)


@cache
def all_commands() -> dict[str, Command]:
    """Return the commands and actions, by names such as "detect" and "detect-evaluate score"."""
    found: dict[str, Command] = {}
    for script, target in SCRIPTS.items():
        module = importlib.import_module(target.partition(":")[0])
        add = partial(_add, found, script, module.main)
        actions = getattr(module, "ACTIONS", getattr(module, "BENCHMARKS", {}))
        if not isinstance(actions, dict):  # the actions of training share a parser
            actions = {}
        for action, path in actions.items():
            add([action], importlib.import_module(path).build_parser())
        if not actions:
            parser = importlib.import_module("detection.cli.options" if script == "detect" else module.__name__)
            _add_with_subcommands(add, parser.build_parser())
    found["detect-train DATA"] = Command("detect-train DATA", [], train_classifier.main, own_classes.build_parser())
    return found


def _add_with_subcommands(add: Any, parser: ArgumentParser) -> None:
    groups = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    for name, subparser in groups[0].items() if groups else ():
        add([name], subparser)
    if not groups:
        add([], parser)


def _add(found: dict[str, Command], script: str, main: Main, first: list[str], parser: argparse.ArgumentParser) -> None:
    name = " ".join([script, *first])
    found[name] = Command(name, first, main, parser)


def options(command: Command) -> list[argparse.Action]:
    """Return the options of a command that take a value."""
    taking = [action for action in command.parser._actions if action.option_strings and action.nargs != 0]
    return [
        action
        for action in taking
        if not isinstance(action, SHOWING) and not action.dest.endswith(("help", "print_config"))
    ]


def required(name: str, data: Path) -> list[str]:
    """Return arguments with which a command or action starts, on the data set `data` and on files that are missing."""
    missing = str(data / "missing")
    dataset = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(data)]
    experiment = ["--config", "tiny_imagenet.yaml", "--data", str(data)]
    scored = ["--rule", "coco", "--ground-truth", missing, "--detections", missing]
    arguments: dict[str, list[str]] = {
        "detect": [str(data / "tiny-imagenet-200" / "val" / "images" / "val_n01_0.png"), "--config", missing],
        "detect-benchmark photos": [missing],
        "detect-benchmark proposals": ["--images", missing],
        "detect-benchmark dataset": ["--input", missing],
        "detect-benchmark growth": ["--config", missing],
        "detect-benchmark service": ["--config", missing],
        "detect-benchmark tiles": ["--data", missing],
        "detect-benchmark scoring": ["--device", "cuda:999"],
        "detect-benchmark training": ["--config", "tiny_imagenet.yaml", "--data", missing],
        "detect-benchmark own-classes": [missing],
        "detect-benchmark evaluation": ["--images", "2", "--classes", "2", "--resamples", "2"],
        "detect-calibrate-scores": scored,
        "detect-cut-out-objects": [*dataset, "--split", "val", "--output", str(data / "single")],
        "detect-coverage": [*dataset, "--sources.missing", missing],
        "detect-dataset": ["--input", missing, "--output", str(data / "found"), "--config", missing],
        "detect-env": ["--config", missing],
        "detect-evaluate score": scored,
        "detect-evaluate compare": [missing, missing],
        "detect-evaluate convert": [*scored, "--to", "coco", "--output", str(data / "converted.json")],
        "detect-evaluate-classifier": [*dataset, "--weights", missing],
        "detect-evaluate-photos": [*dataset, "--config", missing],
        "detect-experiments": [*dataset, "--variants.missing", "{}"],
        "detect-export": ["--config", missing, "--output", str(data / "exported")],
        "detect-fold-response-norm": [
            *("--images", str(data / "tiny-imagenet-200" / "val" / "images")),
            *("--source", missing, "--weights", str(data / "made.safetensors")),
        ],
        "detect-import-caffe": ["--source", missing, "--weights", str(data / "made.safetensors")],
        "detect-import-torchvision": ["--source", missing, "--weights", str(data / "made.safetensors")],
        "detect-picture-network filters": ["--weights", missing, "--output", str(data / "made.png")],
        "detect-picture-network predictions": [missing, "--weights", missing, "--output", str(data / "made.png")],
        "detect-picture-network neighbours": [
            *(missing, "--weights", missing, "--output", str(data / "made.png"), *dataset)
        ],
        "detect-plot-training": [missing, "--save", str(data / "made.png")],
        "detect-split-dataset": [*dataset, "--split", "val", "--output", str(data / "lists")],
        "detect-start-from-classes": [
            *dataset,
            "--source",
            missing,
            "--classes",
            missing,
            "--weights",
            str(data / "made.safetensors"),
        ],
        "detect-train": ["export", *experiment, "--ckpt_path", missing, "--weights", str(data / "made.safetensors")],
        "detect-train DATA": [missing],
        "detect-train-box-grid": [*experiment, "--weights", missing, "--save", str(data / "made.safetensors")],
        "detect-train-multibox": [
            *("export", "--config", "multibox.yaml", "--data", str(data)),
            *("--ckpt_path", missing, "--weights", str(data / "made.safetensors")),
        ],
        "detect-train-rcnn-heads": [
            *(*experiment, "--detector.classify", "classifier.region_classifier.RegionClassifier"),
            *("--detector.classify.weights", missing, "--weights", missing, "--save", str(data / "made.safetensors")),
        ],
        "detect-propose": [*experiment, "--output", str(data / "made.proposals")],
        "detect-check-dataset": [*dataset, "--split", "missing"],
        "detect-serve": ["--config", missing, "--port", "0"],
    }
    return arguments.get(name, [*experiment, "--split", "missing"])
