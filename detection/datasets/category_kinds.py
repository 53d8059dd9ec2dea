"""The classes that are kinds of the categories of another data set.

For example, "tabby cat" is a kind of COCO's category "cat". `configs/classes/coco_to_tiny_imagenet.tsv` is such a file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_table
from detection.errors import InputError, short_repr

HEADER = "category\tcovers\tclasses"
ALL, SOME = "all", "some"


class Kinds(NamedTuple):
    """The labels of the classes that are kinds of a category.

    `complete` is True if every object of the category belongs to one of these classes, and False if the category also
    has other kinds.
    """

    labels: frozenset[int]
    complete: bool


KindsByCategory = Mapping[int, Kinds]
"""The kinds of each category, by the label of the category in its data set; each category has at least one."""


def same_names(categories: Sequence[str], class_names: Sequence[str]) -> KindsByCategory:
    """Map each category to the class with the same name; categories without such a class are left out."""
    labels = {name: label for label, name in enumerate(class_names)}
    return {row: Kinds(frozenset([labels[name]]), True) for row, name in enumerate(categories) if name in labels}


def read_kinds(path: Path, categories: Sequence[str], class_names: Sequence[str]) -> KindsByCategory:
    """Read a tab-separated file: each line has a category, `all` or `some`, and its classes separated by commas.

    `all` means that the classes are all kinds of the category, `some` that there are others. Empty lines and lines that
    begin with # are skipped; the first of the other lines is the header.

    Raises:
        InputError: naming the file and line, for a category that is unknown or occurs twice, an unknown class, or a
            malformed line; naming the file, if it cannot be read or has no category.
    """
    category_labels = {name: label for label, name in enumerate(categories)}
    class_labels = {name: label for label, name in enumerate(class_names)}
    kinds_by_category: dict[int, Kinds] = {}
    for place, line in read_table(path, header=HEADER, expected="categories and their classes"):
        with Faults().at(place):
            category, kinds = _read_row(line, category_labels, class_labels)
            if category in kinds_by_category:
                raise InputError(f"expected each category once, got '{categories[category]}' again")
            kinds_by_category[category] = kinds
    if not kinds_by_category:
        raise InputError(f"{path}: expected categories below the header, got none")
    return kinds_by_category


def _read_row(line: str, categories: Mapping[str, int], classes: Mapping[str, int]) -> tuple[int, Kinds]:
    """Return the label of a category and its kinds; raises an `InputError` that does not name the file."""
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 3 or fields[1] not in (ALL, SOME):
        raise InputError(
            f"expected a category, '{ALL}' or '{SOME}', and classes, tab-separated, got {short_repr(line)}"
        )
    category, covers, listed = fields
    if category not in categories:
        raise InputError(f"expected a category of the data set, got {short_repr(category)}")
    names = [name.strip() for name in listed.split(",")]
    for name in names:
        if name not in classes:
            raise InputError(f"expected names of classes, got {short_repr(name)}")
    return categories[category], Kinds(frozenset(classes[name] for name in names), covers == ALL)
