"""The ground truth and the detections that a user has in files: their options, and how they are read and checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jsonargparse import ArgumentParser, Namespace

from detection.configuration import find_config
from detection.datasets import DataSet, ILSVRCDetection
from detection.datasets.ilsvrc_detection import read_blacklist
from detection.errors import InputError
from detection.formats.ground_truth import read_coco_ground_truth, read_data_set
from detection.formats.plausibility import implausibilities
from detection.structures.split_columns import SplitDetections, SplitObjects
from tools.command.options import add_rule_option

READERS = {"ilsvrc": "ILSVRCDetection", "voc2007": "PascalVOC", "voc": "PascalVOC", "coco": "COCO"}
"""The class of `detection.datasets` that reads a folder of ground truth if the user names only the rule."""

SPLIT = "val"
"""The split of a data set's folder that is read if the user names none."""


class SplitTruth(NamedTuple):
    """The objects of a split, the rule to score by, and by image id the labels that the rule does not count."""

    objects: SplitObjects
    rule: str
    blacklist: dict[str, set[int]]


def add_ground_truth_options(parser: ArgumentParser, *, required: bool = True) -> None:
    """Add the ground truth, the rule, how a folder is read, and `--any-score`, which concerns the detections."""
    add_rule_option(parser)
    truth_type = str if required else str | None
    parser.add_argument("--ground-truth", type=truth_type, required=required, help="COCO's JSON or data set's folder")
    parser.add_argument("--dataset", type=DataSet | None, help="class that reads the folder; default: by --rule")
    parser.link_arguments("ground_truth", "dataset.init_args.root")
    parser.add_argument("--split", type=str, default=SPLIT, help="split of the folder: train, val, ...")
    parser.add_argument("--blacklist", type=str | None, help="ILSVRC's list of classes not to count")
    parser.add_argument("--any-score", action="store_true", help="accept scores outside 0-1; only their order counts")


def add_scored_options(parser: ArgumentParser) -> None:
    """Add the ground truth and the detections."""
    add_ground_truth_options(parser)
    formats = "file of ILSVRC, COCO or detect --json; folder of VOC, detect-evaluate run or detect-dataset"
    parser.add_argument("--detections", type=str, required=True, help=formats)


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse the arguments; if the ground truth is a folder and no reader is named, the rule decides.

    Raises:
        InputError: if there is neither a reader nor a rule.
    """
    settings = parser.parse_args(arguments)
    if settings.ground_truth is None:
        return settings
    settings.ground_truth = str(find_config(settings.ground_truth))
    if settings.dataset is not None or not Path(settings.ground_truth).is_dir():
        return settings
    if settings.rule is None:
        expected = "expected --rule or --dataset to tell how to read the folder, got none"
        raise InputError(f"{settings.ground_truth}: {expected}")
    return parser.parse_args([*arguments, "--dataset", f"detection.datasets.{READERS[settings.rule]}"])


def default_rule(dataset: DataSet | None) -> str:
    """Return the rule to score by if the user names none; without a reader, the file is COCO's."""
    return "coco" if dataset is None else dataset.scoring_rule


def read_ground_truth(settings: Namespace, dataset: DataSet | None) -> SplitTruth:
    """Read the ground truth with the reader `dataset`, or as a file in the format of COCO if there is none.

    Raises:
        InputError: naming the file that cannot be used, or if there are no images.
    """
    if dataset is None:
        objects = read_coco_ground_truth(Path(settings.ground_truth))
    else:
        objects = read_data_set(dataset, settings.split)
    if not objects.index.image_ids:
        raise InputError(f"{settings.ground_truth}: expected images, got none")
    return SplitTruth(
        objects, settings.rule or default_rule(dataset), _read_blacklist(settings.blacklist, objects, dataset)
    )


def _read_blacklist(file: str | None, objects: SplitObjects, dataset: DataSet | None) -> dict[str, set[int]]:
    if file is None:
        return {}
    if isinstance(dataset, ILSVRCDetection):
        return dataset.read_blacklist(file)
    index = objects.index
    labels = {name: label for label, name in enumerate(index.class_names)}
    ilsvrc = ILSVRCDetection(".")
    wnids = {wnid: labels[name] for wnid, name in zip(ilsvrc.wnids, ilsvrc.class_names, strict=True) if name in labels}
    images = dict(zip(index.list_numbers.tolist(), index.image_ids, strict=True))
    expected = "the number of an image, counted from 1, and the name or WNID of a class"
    return read_blacklist(Path(file), images, wnids | labels, expected=expected)


def print_warnings(name: str, objects: SplitObjects, detections: SplitDetections) -> list[str]:
    """Print what is implausible about the input, on standard error and in the name of the command, and return it."""
    warnings = implausibilities(objects, detections)
    for warning in warnings:
        print(f"{name}: warning: {warning}", file=sys.stderr)
    return warnings
