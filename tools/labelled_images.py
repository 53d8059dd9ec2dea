"""Images with one class each: what classifiers of whole images are measured on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from detection.datasets import DataSet
from detection.errors import InputError


class LabelledImage(NamedTuple):
    """An image file and the 0-based index of its class."""

    path: Path
    label: int


def add_dataset_options(parser: ArgumentParser) -> None:
    """Add the data set, its folder and split, and `--limit`."""
    parser.add_argument("--data", type=str, required=True, help="folder that holds the data set")
    parser.add_argument("--dataset", type=DataSet, required=True, help="reader of the data set")
    parser.link_arguments("data", "dataset.init_args.root")
    parser.add_argument("--split", type=str, default="val")
    parser.add_argument("--limit", type=PositiveInt | None, default=None, help="take so many images, evenly spaced")


def labelled_images(dataset: DataSet, split: str, *, limit: int | None) -> list[LabelledImage]:
    """The images of a split whose objects are all of one class; with `limit`, at most so many, evenly spaced.

    Raises:
        InputError: if there are none, or the data set cannot be read.
    """
    records = [record for record in dataset.read(split) if len(set(record.labels.tolist())) == 1]
    if not records:
        raise InputError(f"split '{split}': expected images of one class each, found none")
    if limit is not None:
        records = records[:: max(1, len(records) // limit)][:limit]
    return [LabelledImage(record.path, int(record.labels[0])) for record in records]
