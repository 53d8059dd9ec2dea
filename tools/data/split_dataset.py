"""Split a set of images into two halves with about the same number of objects of every class.

R-CNN split the validation set of ILSVRC in this way; `detection.datasets.balanced_split` is the method.

detect-split-dataset --dataset detection.datasets.ILSVRCDetection --data ILSVRC --split val \
    --output ILSVRC/ImageSets/DET
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.datasets.balanced_split import balanced_split, class_imbalance
from detection.datasets.dataset import count_objects
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import identify, require_replaceable, require_writable
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import Seed, add_split_options
from tools.command.output_file import add_overwrite_option

HALVES = 2
"""The number of lists, each of which gets at least one image."""


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-split-dataset", description="Split a set of images into halves.")
    add_split_options(parser)
    parser.add_argument("--output", type=str, required=True, help="folder for the lists <split>1.txt and <split>2.txt")
    parser.add_argument("--seed", type=Seed, default=1, help="seed of the random search for even halves")
    add_overwrite_option(parser)
    return parser


@command("detect-split-dataset")
def main(arguments: Sequence[str]) -> None:
    """Write the two lists, and print how evenly the classes are distributed."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    paths = [Path(settings.output) / f"{settings.split}{number}.txt" for number in (1, 2)]
    require_new_lists(paths, overwrite=settings.overwrite)
    dataset = parser.instantiate(settings).dataset
    records = dataset.read(settings.split)
    if len(records) < HALVES:
        raise InputError(
            f"{settings.data}: expected at least {HALVES} images in split '{settings.split}', got {len(records)}"
        )
    class_count = len(dataset.class_names)
    counts = np.array([count_objects([record], class_count) for record in records]).reshape(-1, class_count)  # [N, C]
    first = balanced_split(counts, seed=settings.seed)
    for path, chosen in zip(paths, (first, ~first), strict=True):
        write_atomically(path, "".join(f"{records[row].image_id}\n" for row in np.flatnonzero(chosen)).encode())
        print(f"{path}: {chosen.sum()} images, {counts[chosen].sum()} objects")
    imbalance = class_imbalance(counts, first)
    worst = int(imbalance.argmax())
    print(f"largest relative class imbalance: {imbalance[worst]:.2%} ({dataset.class_names[worst]})")
    print(f"median relative class imbalance: {np.median(imbalance):.2%}")


def require_new_lists(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Check that the lists may be written; the other lists in their folder may be what the command reads.

    Raises:
        InputError: naming the list that must not be replaced or cannot be written.
    """
    inputs = identify(sorted(set(paths[0].parent.glob("*.txt")) - set(paths)))
    for path in paths:
        require_replaceable(path, None, inputs=inputs, overwrite=overwrite)
        require_writable(path)


if __name__ == "__main__":
    sys.exit(main())
