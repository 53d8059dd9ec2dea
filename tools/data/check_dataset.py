"""List all faults of a data set, and count its images and objects.

detect-check-dataset --dataset detection.datasets.PascalVOC --data FOLDER --split train
detect-check-dataset --dataset detection.datasets.PascalVOC --data FOLDER --split train --images
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jsonargparse import ArgumentParser
from tqdm import tqdm

from detection.datasets.dataset import Entry, count_objects
from detection.errors import InputError
from detection.image import read_image
from tools.command.entry_point import command
from tools.command.options import add_split_options


def build_parser() -> ArgumentParser:
    """Return the parser of the command's options."""
    parser = ArgumentParser(prog="detect-check-dataset", description="List all faults of a data set.")
    add_split_options(parser)
    parser.add_argument(
        "--images", action="store_true", help="also decode every image, and compare its size with the annotation"
    )
    return parser


@command("detect-check-dataset")
def main(arguments: Sequence[str]) -> int:
    """Print the faults and a summary, and return the exit status: 1 if there are faults."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be printable
    dataset = parser.instantiate(settings).dataset
    entries, faults = dataset.check(settings.split)
    if settings.images:
        faults = faults + find_image_faults(entries)
    for fault in faults:
        print(str(fault).replace("\n", " "))  # names in the files may contain any character
    print(format_summary(entries, len(dataset.class_names)))
    print(f"{len(faults)} fault{'' if len(faults) == 1 else 's'}")
    return 1 if faults else 0


def find_image_faults(entries: Sequence[Entry]) -> list[InputError]:
    """Decode all image files, several at a time, and return the faults."""
    with ThreadPoolExecutor() as threads:
        results = tqdm(threads.map(_image_fault, entries), total=len(entries), unit="image", disable=None)
        return [fault for fault in results if fault is not None]


def _image_fault(entry: Entry) -> InputError | None:
    try:
        height, width = read_image(entry.record.path).shape[:2]
    except InputError as error:
        return error
    if entry.size is None or entry.size == (height, width):
        return None
    stated_height, stated_width = entry.size
    return InputError(
        f"{entry.record.path}: expected {stated_width}x{stated_height} px as in {entry.place}, got {width}x{height} "
        "(with its EXIF orientation applied)"
    )


def format_summary(entries: Sequence[Entry], class_count: int) -> str:
    """Return lines with the number of images and objects, and with the distribution of objects over the classes."""
    records = [entry.record for entry in entries]
    empty = sum(len(record) == 0 for record in records)
    ignored = sum(int(record.ignored.sum()) for record in records)
    counts = count_objects(records, class_count)
    spread = f"{counts.min()} / {np.median(counts):g} / {counts.max()}"
    return (
        f"{len(records)} images, {empty} of them without objects\n"
        f"{counts.sum()} objects, {ignored} of them ignored\n"
        f"objects per class, of {class_count} classes: {spread} (min / median / max)"
    )


if __name__ == "__main__":
    sys.exit(main())
