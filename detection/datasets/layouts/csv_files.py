"""Recognises tables of boxes: one file, or one for each split."""

from functools import partial
from pathlib import Path

from detection.datasets.csv_table import CSVTable, read_rows
from detection.datasets.layouts.folder_layout import FolderLayout, layout_of_files
from detection.datasets.layouts.listing import FolderListing
from detection.errors import InputError


class _CSVFiles(CSVTable):
    """Reader of a table, which finds images also where the table states the paths of another machine."""

    def __init__(self, listing: FolderListing, annotations: Path, images: Path) -> None:
        super().__init__(listing.root, listing.relative(annotations), listing.relative(images))
        self._listing = listing

    def image_path(self, split: str, name: str) -> Path:
        return self._listing.find_image(super().image_path(split, name), name, self.root / self.annotations)


def find_csv(listing: FolderListing) -> FolderLayout | None:
    """Return the tables of the splits, or None if no file has the columns of `CSVTable`."""
    files = [path for path in listing.with_suffix(".csv") if _image_names(path)]
    if not files:
        return None
    return layout_of_files(listing, files, partial(_reader, listing), layout="csv", title="CSV", kind="table of boxes")


def _reader(listing: FolderListing, path: Path) -> _CSVFiles:
    return _CSVFiles(listing, path, listing.image_folder(_image_names(path), path))


def _image_names(path: Path) -> list[str]:
    """Return the names of the images in a table, or none if the file is no table of boxes."""
    try:
        return list(dict.fromkeys(row.cells["filename"] for row in read_rows(path)))
    except InputError:
        return []
