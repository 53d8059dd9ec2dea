"""Recognises tables of boxes: one file, or one for each split."""

from pathlib import Path

from detection.datasets.csv_table import CSVTable, read_rows
from detection.datasets.layouts.found_layout import (
    FoundLayout,
    SplitSource,
    file_of_each_split,
    joined,
    not_used,
)
from detection.datasets.layouts.listing import FolderListing
from detection.errors import InputError


class _CSVFiles(CSVTable):
    """Reader of a table, which finds images also where the table states the paths of another machine."""

    def __init__(self, listing: FolderListing, annotations: Path, images: Path) -> None:
        super().__init__(listing.root, listing.relative(annotations), listing.relative(images))
        self._listing = listing

    def image_path(self, split: str, name: str) -> Path:
        return self._listing.find_image(super().image_path(split, name), name, self.root / self.annotations)


def find_csv(listing: FolderListing) -> FoundLayout | None:
    """Return the tables of the splits, or None if no file has the columns of `CSVTable`."""
    files = [path for path in listing.with_suffix(".csv") if _image_names(path)]
    if not files:
        return None
    used = file_of_each_split(listing.root, files, "table of boxes")
    splits = {}
    for split, path in used.items():
        folder = listing.image_folder(_image_names(path), path)
        splits[split] = SplitSource(_CSVFiles(listing, path, folder), split)
    names = [listing.relative(path) for path in used.values()]
    return FoundLayout("csv", f"CSV ({joined(names)})", splits, not_used(files, used))


def _image_names(path: Path) -> list[str]:
    """Return the names of the images in a table, or none if the file is no table of boxes."""
    try:
        return list(dict.fromkeys(row.cells["filename"] for row in read_rows(path)))
    except InputError:
        return []
