"""Options that several commands share: the configuration file, a split of a data set, the scoring rule."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]
from jsonargparse.typing import PositiveInt, restricted_number_type

from detection.configuration import find_config, read_yaml
from detection.datasets import DataSet
from detection.errors import InputError
from detection.runtime.weights_files.engine import DEVICE_NAMES, is_device_name

Item = TypeVar("Item")

Engine = Literal["local", "ray"]


def whole(low: int, high: int) -> Any:
    """Return the type of an option that takes whole numbers from `low` to `high`."""
    return restricted_number_type(None, int, [(">=", low), ("<=", high)])


def real(low: float, high: float) -> Any:
    """Return the type of an option that takes numbers from `low` to `high`, and so neither nan nor infinity."""
    return restricted_number_type(None, float, [(">=", low), ("<=", high)])


Count = whole(1, 1_000_000)
"""A number of things, at least one."""

Resamples = whole(0, 100_000)
"""A number of resamples of the bootstrap; 0 for no bootstrap."""

Seed = whole(0, 2**63 - 1)
"""A seed that NumPy and PyTorch both take."""

Side = whole(1, 10_000)
"""The side of an image in pixels."""

Workers = whole(0, 1_000)
"""A number of processes or threads; with 0, the process itself does the work."""

RuleName = Literal["ilsvrc", "voc2007", "voc", "coco"]

LayoutName = Literal["coco", "voc", "yolo", "csv", "folders"]
"""The names in `detection.datasets.layouts.recognise.LAYOUTS`, for the help text."""


class ConfigFile(ActionConfigFile):
    """The action of `--config`, which also finds the files in `configs/` by their names alone.

    For the folder of a detector of own classes it is the file training.yaml.
    """

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Take the options in the file over into `cfg`."""
        path = find_config(values, "training.yaml")
        if path.is_file():  # otherwise jsonargparse says what is wrong
            values = yaml.safe_dump(read_yaml(path), sort_keys=False)
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


def add_config_option(parser: ArgumentParser) -> None:
    """Add `--config`, which may be given several times; a later file overrides the keys of an earlier one."""
    parser.add_argument("--config", action=ConfigFile, help="YAML file of options, or the name of a shipped one")


def add_detector_option(parser: ArgumentParser) -> None:
    """Add `--config`, a detector that `load_detector` reads."""
    text = "YAML file or folder of a detector, or the name of a shipped file; default: detector.yaml"
    parser.add_argument("--config", type=str | None, help=text)


def add_detector_options(parser: ArgumentParser) -> None:
    """Add `--config`, a detector that `load_detector` reads, and `--device`."""
    add_detector_option(parser)
    add_device_option(parser)


def add_dataset_options(parser: ArgumentParser) -> None:
    """Add `--data`, the folder of a data set, and `--dataset`, its reader."""
    parser.add_argument("--data", type=str, required=True, help="folder that holds the data set")
    parser.add_argument(
        "--dataset",
        type=DataSet,
        default={"class_path": "detection.datasets.LabelledFolder"},
        help="class that reads the data set; default: LabelledFolder, which recognises common layouts",
    )
    parser.link_arguments("data", "dataset.init_args.root")


def add_layout_option(parser: ArgumentParser) -> None:
    """Add `--layout`, the short form of `--dataset.layout`, which `choose_layout` applies."""
    parser.add_argument(
        "--layout", type=LayoutName | None, help="layout that LabelledFolder reads, if the folder has several"
    )


def choose_layout(settings: Namespace) -> None:
    """Pass `--layout` on to the reader of the data set. A link would replace `--dataset.layout` by None.

    Raises:
        InputError: if the reader has no such argument.
    """
    if settings.layout is not None:
        if "layout" not in settings.dataset.init_args:
            raise InputError(f"--layout: expected the reader LabelledFolder, got {settings.dataset.class_path}")
        settings.dataset.init_args.layout = settings.layout


def name_data_folder(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command with `--data` before the first one, if this is a folder and not an option."""
    is_folder = bool(arguments) and not arguments[0].startswith("-")
    return ["--data", *arguments] if is_folder else list(arguments)


def add_split_options(parser: ArgumentParser) -> None:
    """Add the data set and the name of one of its splits."""
    add_dataset_options(parser)
    parser.add_argument("--split", type=str, default="val", help="name of the split: train, val, ...")


def add_limit_option(parser: ArgumentParser) -> None:
    """Add `--limit`, which takes fewer images for a quicker look."""
    parser.add_argument("--limit", type=PositiveInt | None, help="take at most this many images, evenly spaced")


def add_engine_options(parser: ArgumentParser, help_text: str) -> None:
    """Add `--engine`, which chooses between this machine and a Ray cluster, and `--address`, that of the cluster."""
    parser.add_argument("--engine", type=Engine, default="local", help=help_text)
    parser.add_argument("--address", type=str | None, help="address of a Ray cluster; default: one that starts here")


def require_cluster(settings: Namespace, *names: str) -> None:
    """Check that the options `names`, which only a Ray cluster uses, are not given with another engine.

    Raises:
        InputError: naming the first one that is.
    """
    for name in names:
        if settings.engine != "ray" and settings[name] is not None:
            raise InputError(f"--{name}: expected --engine ray, got {settings.engine}")


def add_rule_option(parser: ArgumentParser) -> None:
    """Add `--rule`, by which detections are scored."""
    parser.add_argument("--rule", type=RuleName | None, help="scoring rule; default: the rule of the data set")


def add_device_option(parser: ArgumentParser) -> None:
    """Add `--device`, on which the networks run."""
    parser.add_argument("--device", type=device_name, help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")


def device_name(text: str) -> str:
    """Return the value of `--device`, if it is the name of a device that may exist."""
    if not is_device_name(text):
        raise ArgumentTypeError(f"expected {DEVICE_NAMES}, got '{text}'")
    return text


def evenly_spaced(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Return at most `limit` of the items, evenly spaced, or all of them if `limit` is None."""
    if limit is None or limit >= len(items):
        return items
    return [items[place * len(items) // limit] for place in range(limit)]
