"""List all faults of a data set, and count its images and objects.

The layout of a folder is recognised, unless `--dataset` names a reader.

detect-check-dataset FOLDER
detect-check-dataset --dataset detection.datasets.PascalVOC --data FOLDER --split train
detect-check-dataset --dataset detection.datasets.PascalVOC --data FOLDER --split train --images
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from detection.datasets import DataSet, LabelledFolder
from detection.datasets.annotated_images import read_annotated_image
from detection.datasets.dataset import Entry, count_objects
from detection.datasets.layouts.summary import summarise
from detection.errors import InputError
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import add_dataset_options, add_layout_option, choose_layout, name_data_folder


class Checked(NamedTuple):
    """The usable images, a line for each fault, and the summary to print."""

    entries: Sequence[Entry]
    faults: Sequence[str]
    summary: str


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    description = "List all faults of a data set. The folder may be the first argument, without --data."
    parser = OptionParser(prog="detect-check-dataset", description=description)
    add_dataset_options(parser)
    add_layout_option(parser)
    parser.add_argument(
        "--split",
        type=str | None,
        help="name of the split, for a recognised folder only with --images; default: all splits of a recognised "
        "folder, val of other data sets",
    )
    parser.add_argument(
        "--images", action="store_true", help="also decode every image, and compare its size with the annotation"
    )
    return parser


@command("detect-check-dataset")
def main(arguments: Sequence[str]) -> int:
    """Print the faults and a summary, and return the exit status: 1 if there are faults."""
    parser = build_parser()
    settings = parser.parse_args(name_data_folder(arguments))
    choose_layout(settings)
    dataset = parser.instantiate(settings).dataset
    checked = (
        check_folder(dataset, settings.split, decode=settings.images)
        if isinstance(dataset, LabelledFolder)
        else check_split(dataset, settings.split or "val")
    )
    image_faults = find_image_faults(checked.entries) if settings.images else []
    for fault in [*checked.faults, *image_faults]:
        print(str(fault).replace("\n", " "))  # names in the files may contain any character
    print(checked.summary)
    fault_count = len(checked.faults) + len(image_faults)
    print(f"{fault_count} fault{'' if fault_count == 1 else 's'}")
    return 1 if fault_count else 0


def check_split(dataset: DataSet, split: str) -> Checked:
    """Return the images and faults of a split, and their number."""
    check = dataset.check(split)
    summary = format_summary(check.entries, len(dataset.class_names))
    return Checked(check.entries, [str(fault) for fault in check.faults], summary)


def check_folder(dataset: LabelledFolder, split: str | None, *, decode: bool) -> Checked:
    """Return the images of a split or of all splits of a recognised folder, and what was left out of the folder.

    Raises:
        InputError: if there is no such split; or if the images are not to be decoded, because what was left out does
            not belong to a split.
    """
    if split is not None and not decode:
        raise InputError(f"--split: expected --images, since {dataset.root} is checked as a whole, got '{split}' alone")
    names = dataset.splits if split is None else [split]
    entries = [entry for name in names for entry in dataset.read_entries(name)]
    summary = replace(summarise(dataset), left_out=())  # they are listed before it
    return Checked(entries, dataset.left_out, "\n".join(summary.lines(max_lines=sys.maxsize)))


def find_image_faults(entries: Sequence[Entry]) -> list[InputError]:
    """Decode all image files, several at a time, and return the faults."""
    with ThreadPoolExecutor() as threads:
        results = tqdm(threads.map(_image_fault, entries), total=len(entries), unit="image", disable=None)
        return [fault for fault in results if fault is not None]


def _image_fault(entry: Entry) -> InputError | None:
    try:
        read_annotated_image(entry.record)
    except InputError as error:
        return error
    return None


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
