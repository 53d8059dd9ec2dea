"""The options of tools that read one split of a data set."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from detection.datasets import DataSet


def add_split_options(parser: ArgumentParser) -> None:
    """Add the reader, its folder and the split."""
    parser.add_argument("--data", type=str, required=True, help="folder that holds the data set")
    parser.add_argument("--dataset", type=DataSet, required=True, help="reader of the data set")
    parser.link_arguments("data", "dataset.init_args.root")
    parser.add_argument("--split", type=str, required=True, help="train, val, ...")
