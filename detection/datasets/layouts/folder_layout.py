"""`FolderLayout`: the layout of a folder, with the readers of its splits."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.datasets.dataset import DataSet
from detection.datasets.layouts.listing import FolderListing
from detection.errors import InputError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    "trainval": "trainval",
}
"""The words in the names of files and folders that name a split, and the split."""

UNNAMED = "all"
"""Name of the split for pictures whose path contains no split name."""


class SplitSource(NamedTuple):
    """A reader, and the name of a split that it reads."""

    reader: DataSet
    split: str


class FolderLayout(NamedTuple):
    """The layout, the readers of the splits and the unused files that `recognise` finds in a folder.

    Args:
        layout: "coco", "voc", "yolo", "csv" or "folders".
        description: a plain phrase that names the format and the files.
        splits: the source of each split, by "train", "val", "test", "trainval" or `UNNAMED`.
        left_out: a line for each file that is not used.
    """

    layout: str
    description: str
    splits: Mapping[str, SplitSource]
    left_out: Sequence[str] = ()


def split_name(path: str) -> str:
    """Return the split that a relative path names: the file first, then its folders; `UNNAMED` if it names none."""
    for part in reversed(Path(path).parts):
        for word in re.findall(r"[a-z]+", part.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return UNNAMED


def file_of_each_split(root: Path, files: Sequence[Path], kind: str) -> dict[str, Path]:
    """Return the annotation file of each split. Files that name no split are left out if others do.

    Raises:
        InputError: if two files have the same split.
    """
    by_split: dict[str, list[Path]] = {}
    for path in files:
        by_split.setdefault(split_name(path.relative_to(root).as_posix()), []).append(path)
    if len(by_split) > 1:
        by_split.pop(UNNAMED, None)
    for split, paths in by_split.items():
        if len(paths) > 1:
            expected = ", or one for each of train, val and test" if split == UNNAMED else f" for split '{split}'"
            names = joined([path.relative_to(root).as_posix() for path in paths])
            raise InputError(f"{root}: expected the folder of one data set, with one {kind}{expected}, got {names}")
    return {split: paths[0] for split, paths in by_split.items()}


def layout_of_files(
    listing: FolderListing,
    files: Sequence[Path],
    reader: Callable[[Path], DataSet],
    *,
    layout: str,
    title: str,
    kind: str,
) -> FolderLayout:
    """Return the layout of annotation files of which each has one split.

    Args:
        listing: the folder.
        files: the annotation files in it.
        reader: makes the reader of a file.
        layout: the name of the layout.
        title: the name of the format, for the description.
        kind: what a file is, for error messages.

    Raises:
        InputError: if two files have the same split.
    """
    used = file_of_each_split(listing.root, files, kind)
    names = joined([listing.relative(path) for path in used.values()])
    splits = {split: SplitSource(reader(path), split) for split, path in used.items()}
    unused = [path for path in files if path not in used.values()]
    reason = "not used: its name has no split (train, val, test), but other files have one"
    return FolderLayout(layout, f"{title} ({names})", splits, [f"{path}: {reason}" for path in unused])


def joined(names: Sequence[str], limit: int = 4) -> str:
    """Return names separated by commas; the last ones are only counted if there are more than `limit`."""
    more = len(names) - limit
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:limit])} and {more} more"
