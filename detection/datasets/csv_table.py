"""Tables in text files: a line for each box, with its image and class."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.annotated_objects import (
    CORNERS,
    AnnotatedObject,
    object_arrays,
    read_inclusive_box,
    state_corners,
)
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import files_of_splits, read_text, whole_number
from detection.errors import InputError, short_repr
from detection.image import read_image_size
from detection.structures.ground_truth import GroundTruth

COLUMNS = ("filename", "class", *CORNERS)
"""The columns that a table has to have, in any order. Columns `width` and `height` are read as well."""


class Row(NamedTuple):
    """A line of a table: its place, for error messages, and its cells by column."""

    place: str
    cells: Mapping[str, str]


class CSVTable(DataSet):
    """Reader of tables with the columns `filename,width,height,class,xmin,ymin,xmax,ymax`.

    The separator is a comma, a semicolon or a tab, and the header tells the order of the columns. Corners count pixels
    from 1 and include the last one, as in the XML of PASCAL VOC, from which most of these tables are made. An image
    without objects has one line, in which the class and the corners are empty. `width` and `height` may be missing. The
    classes are the sorted names in all tables.

    Args:
        root: the folder of the data set.
        annotations: the table in this folder; `{split}` is replaced by the name of the split.
        images: the folder of the images in this folder; `{split}` is replaced likewise.

    Raises:
        InputError: if there is no such table, or one lacks a column.
    """

    def __init__(self, root: str | Path, annotations: str = "{split}.csv", images: str = "images") -> None:
        self.root = Path(root)
        self.annotations = annotations
        self.images = images
        files = files_of_splits(self.root / annotations, expected="a table of boxes")
        names = {row.cells["class"] for path in files for row in read_rows(path)}
        self.class_names = tuple(sorted(names - {""}))
        self._labels = {name: label for label, name in enumerate(self.class_names)}

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        rows_of_images: dict[str, list[Row]] = {}
        for row in read_rows(self.root / self.annotations.replace("{split}", split)):
            rows_of_images.setdefault(row.cells["filename"], []).append(row)
        for name, rows in rows_of_images.items():
            with faults.at(rows[0].place):
                path = self.image_path(split, name)
                size = _stated_size(rows[0]) or read_image_size(path)
                objects = list(self._objects(rows, size, faults))
                yield Entry(rows[0].place, GroundTruth(name, path, *object_arrays(objects)), size)

    def image_path(self, split: str, name: str) -> Path:
        """Return the path of the image that the table of a split calls by this name."""
        return self.root / self.images.replace("{split}", split) / name

    def _objects(self, rows: list[Row], size: tuple[int, int], faults: Faults) -> Iterator[AnnotatedObject]:
        for row in rows:
            texts = [row.cells[corner] for corner in CORNERS]
            if not row.cells["class"] and not any(texts):
                continue
            with faults.at(row.place):
                if not row.cells["class"]:
                    raise InputError(f"expected a class, got none for {state_corners(texts)}")
                box = read_inclusive_box(texts, size)
                yield AnnotatedObject(box, self._labels[row.cells["class"]], ignored=False)


def read_rows(path: Path) -> list[Row]:
    """Return the lines of a table below its header, without those that name no image.

    Raises:
        InputError: naming the file, if it cannot be read or lacks one of `COLUMNS`.
    """
    text = read_text(path, expected="a table of boxes").removeprefix("\ufeff")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)  # cells in quotes may have line breaks
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: expected a table of boxes: {error}") from None
    if missing := [column for column in COLUMNS if column not in names]:
        raise InputError(f"{path}:1: expected the columns {','.join(COLUMNS)}, got none '{missing[0]}'")
    rows = [
        Row(f"{path}:{number}", dict(zip_longest(names, cells[: len(names)], fillvalue=""))) for number, cells in lines
    ]
    return [row for row in rows if row.cells["filename"]]


def _stated_size(row: Row) -> tuple[int, int] | None:
    """Return the height and width that a line states, or None if it states none."""
    height, width = row.cells.get("height", ""), row.cells.get("width", "")
    if height in ("", "0") or width in ("", "0"):
        return None
    rows, columns = whole_number(height), whole_number(width)
    if rows is None or columns is None or min(rows, columns) < 0:
        raise InputError(
            f"expected the size of the image in pixels, got width {short_repr(width)} and height {short_repr(height)}"
        )
    return rows, columns
