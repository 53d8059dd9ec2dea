"""Ground truth and detections of others: the options that name them, and how they are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jsonargparse import ArgumentParser, Namespace

from detection.datasets import DataSet, ILSVRCDetection
from detection.datasets.files.blacklist import read_blacklist
from detection.errors import InputError
from detection.formats.detections import read_detections
from detection.formats.ground_truth import read_coco_ground_truth, read_data_set
from detection.formats.plausibility import implausibilities
from detection.structures.split_columns import SplitDetections, SplitObjects

READERS = {
    "ilsvrc": "detection.datasets.ILSVRCDetection",
    "voc2007": "detection.datasets.PascalVOC",
    "voc": "detection.datasets.PascalVOC",
    "coco": "detection.datasets.COCO",
}
"""What reads a folder of ground truth when only the rule is named."""


class SplitTruth(NamedTuple):
    """The objects of a split, the name of the rule that suits them, and labels that do not count, by image id."""

    objects: SplitObjects
    rule: str
    blacklist: dict[str, set[int]]


def add_ground_truth_options(parser: ArgumentParser, *, required: bool = True) -> None:
    """Add the ground truth and how to read it, and `--any-score`, which is about the detections."""
    parser.add_argument(
        "--ground-truth",
        type=str if required else str | None,
        required=required,
        help="json file in the format of COCO, or folder of a data set",
    )
    parser.add_argument(
        "--dataset", type=DataSet | None, default=None, help="reader of the folder; default: by the rule"
    )
    parser.link_arguments("ground_truth", "dataset.init_args.root")
    parser.add_argument("--split", type=str, default="val", help="of a folder: train, val, ...")
    parser.add_argument("--blacklist", type=str | None, default=None, help="ILSVRC's list of what does not count")
    parser.add_argument("--any-score", action="store_true", help="take scores outside 0-1 too; only their order counts")


def parse(parser: ArgumentParser, arguments: Sequence[str] | None) -> Namespace:
    """The settings, with a reader by the rule where the ground truth is a folder and none is named.

    Raises:
        InputError: if there is neither a reader nor a rule.
    """
    given = list(sys.argv[2:] if arguments is None else arguments)
    settings = parser.parse_args(given)
    if settings.ground_truth is None or settings.dataset is not None or not Path(settings.ground_truth).is_dir():
        return settings
    if settings.rule is None:
        raise InputError(
            f"{settings.ground_truth}: expected --rule or --dataset to tell how to read the folder, got none"
        )
    return parser.parse_args([*given, "--dataset", READERS[settings.rule]])


def read_ground_truth(settings: Namespace, dataset: DataSet | None) -> SplitTruth:
    """The ground truth of the options; `dataset` is the reader that they made.

    Raises:
        InputError: naming the file, for anything that cannot be used, or if there are no images.
    """
    if dataset is None:
        objects = read_coco_ground_truth(Path(settings.ground_truth))
    else:
        objects = read_data_set(dataset, settings.split)
    if not objects.index.image_ids:
        raise InputError(f"{settings.ground_truth}: expected images, got none")
    rule = settings.rule or (dataset.scoring_rule if dataset is not None else "coco")
    return SplitTruth(objects, rule, _read_blacklist(settings.blacklist, objects, dataset))


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


def read_split_detections(
    settings: Namespace, truth: SplitTruth, *, tool: str = "evaluate"
) -> tuple[SplitDetections, list[str]]:
    """The detections of the options, and what is doubtful about them, which `tool` says on standard error too.

    Raises:
        InputError: naming the file and line, for anything that cannot be scored.
    """
    detections = read_detections(Path(settings.detections), truth.objects, any_score=settings.any_score)
    return detections, warn(truth.objects, detections, tool=tool)


def warn(objects: SplitObjects, detections: SplitDetections, *, tool: str = "evaluate") -> list[str]:
    """Print what is doubtful, in the name of `tool`, and return it."""
    doubts = implausibilities(objects, detections)
    for doubt in doubts:
        print(f"{tool}: warning: {doubt}", file=sys.stderr)
    return doubts
