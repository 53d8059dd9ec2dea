"""Split a set of images into two halves in which every class is about as frequent, as R-CNN did with ILSVRC's val.

python -m tools.split_dataset --dataset detection.datasets.ILSVRCDetection --data ILSVRC --split val \
    --output ILSVRC/ImageSets/DET
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser

from detection.datasets.balanced_split import balanced_split, class_imbalance
from detection.errors import InputError
from detection.structures.arrays import IntArray
from detection.structures.ground_truth import GroundTruth
from tools.command.split_options import add_split_options


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.split_dataset", description="Split a set of images into halves.")
    add_split_options(parser)
    parser.add_argument("--output", type=str, required=True, help="folder for the lists <split>1.txt and <split>2.txt")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Write the lists, print how even the halves are, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        dataset = parser.instantiate(settings).dataset
        records = dataset.read(settings.split)
        counts = count_by_image(records, len(dataset.class_names))
        first = balanced_split(counts, seed=settings.seed)
        for number, chosen in ((1, first), (2, ~first)):
            path = Path(settings.output) / f"{settings.split}{number}.txt"
            write_list(path, [records[index].image_id for index in np.flatnonzero(chosen)])
            print(f"{path}: {chosen.sum()} images, {counts[chosen].sum()} objects")
    except InputError as error:
        print(f"split_dataset: {error.line}", file=sys.stderr)
        return 1
    imbalance = class_imbalance(counts, first)
    worst = int(imbalance.argmax())
    print(f"largest relative class imbalance: {imbalance[worst]:.2%} ({dataset.class_names[worst]})")
    print(f"median relative class imbalance: {np.median(imbalance):.2%}")
    return 0


def count_by_image(records: Sequence[GroundTruth], class_count: int) -> IntArray:
    """Objects of each class in each image: int64 [N, C]."""
    counts = np.zeros((len(records), class_count), np.int64)
    for index, record in enumerate(records):
        counts[index] = np.bincount(record.labels, minlength=class_count)
    return counts


def write_list(path: Path, names: Sequence[str]) -> None:
    """Write an image set, a name a line; it is complete or not there.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to, got: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
