"""The options of tools that read one split of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from detection.datasets import DataSet

Item = TypeVar("Item")


def add_dataset_options(parser: ArgumentParser) -> None:
    """Add the reader and its folder."""
    parser.add_argument("--data", type=str, required=True, help="folder that holds the data set")
    parser.add_argument("--dataset", type=DataSet, required=True, help="reader of the data set")
    parser.link_arguments("data", "dataset.init_args.root")


def add_split_options(parser: ArgumentParser) -> None:
    """Add the reader, its folder and the split."""
    add_dataset_options(parser)
    parser.add_argument("--split", type=str, default="val", help="train, val, ...")


def add_limit_option(parser: ArgumentParser) -> None:
    """Add `--limit`, for a quicker look."""
    parser.add_argument("--limit", type=PositiveInt | None, default=None, help="take so many images, evenly spaced")


def evenly_spaced(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """All items; with `limit`, at most so many of them, evenly spaced."""
    return items if limit is None else items[:: max(1, len(items) // limit)][:limit]
