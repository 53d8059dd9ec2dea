"""Which classes are kinds of the categories of another data set: a file like `coco_to_tiny_imagenet.tsv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_lines
from detection.errors import InputError

HEADER = "category\tcovers\tclasses"
ALL, SOME = "all", "some"


class Kinds(NamedTuple):
    """The classes, by label, that are kinds of a category.

    `complete` where whatever is of the category is of one of them; otherwise the category has other kinds too.
    """

    labels: frozenset[int]
    complete: bool


KindsByCategory = Mapping[int, Kinds]
"""From the label of a category in its data set to the classes that it stands for, at least one."""


def same_names(categories: Sequence[str], class_names: Sequence[str]) -> KindsByCategory:
    """Each category with the class of the very same name; categories without one are left out."""
    labels = {name: label for label, name in enumerate(class_names)}
    return {row: Kinds(frozenset([labels[name]]), True) for row, name in enumerate(categories) if name in labels}


def read_kinds(path: Path, categories: Sequence[str], class_names: Sequence[str]) -> KindsByCategory:
    """What a tab-separated file says: a category a line, `all` or `some`, and its classes with commas between them.

    Empty lines and those that begin with # are passed over; the first of the others is the header.

    Raises:
        InputError: naming the file and line, for a category that the data set lacks or that comes twice, a class of
            no such name, or a malformed line; naming the file, if it cannot be read or has no category.
    """
    lines = enumerate(read_lines(path, expected="categories and their classes"), start=1)
    rows = [(f"{path}:{number}", line) for number, line in lines if line.strip() and not line.startswith("#")]
    if not rows or rows[0][1] != HEADER:
        place, line = rows[0] if rows else (str(path), "")
        raise InputError(f"{place}: expected the header {HEADER!r}, got {line!r}")
    category_labels = {name: label for label, name in enumerate(categories)}
    class_labels = {name: label for label, name in enumerate(class_names)}
    found: dict[int, Kinds] = {}
    for place, line in rows[1:]:
        with Faults().at(place):
            category, kinds = _read_row(line, category_labels, class_labels)
            if category in found:
                raise InputError(f"expected each category once, got '{categories[category]}' again")
            found[category] = kinds
    if not found:
        raise InputError(f"{path}: expected categories below the header, got none")
    return found


def _read_row(line: str, categories: Mapping[str, int], classes: Mapping[str, int]) -> tuple[int, Kinds]:
    """The label of a category, and its kinds; raises an `InputError` without a place."""
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 3 or fields[1] not in (ALL, SOME):
        raise InputError(f"expected a category, '{ALL}' or '{SOME}', and classes, tab-separated, got {line!r}")
    category, covers, listed = fields
    if category not in categories:
        raise InputError(f"expected a category of the data set, got '{category}'")
    names = [name.strip() for name in listed.split(",")]
    for name in names:
        if name not in classes:
            raise InputError(f"expected names of classes, got '{name}'")
    return categories[category], Kinds(frozenset(classes[name] for name in names), covers == ALL)
