"""The classes that are kinds of the categories of another data set.

For example, "tabby cat" is a kind of COCO's category "cat". `configs/classes/coco_to_tiny_imagenet.tsv` is such a file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_table, whole_number
from detection.errors import InputError, short_repr

HEADER = "category\tcovers\tclasses"
INDEX_HEADER = "category\tindices"
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


def read_kinds_by_index(path: Path, class_names: Sequence[str], *, outputs: int) -> dict[int, list[int]]:
    """Return the indices of the outputs that are kinds of each class, by the label of the class.

    A line has a class, a tab, and indices or ranges of indices separated by commas; see `read_table` for the rest.

    Raises:
        InputError: naming the file and line.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    kinds: dict[int, list[int]] = {}
    for place, line in read_table(path, header=INDEX_HEADER, expected="classes and indices of outputs"):
        with Faults().at(place):
            name, _, ranges = line.partition("\t")
            if name not in labels or labels[name] in kinds:
                raise InputError(f"expected each class of the data set once, got {short_repr(name)}")
            kinds[labels[name]] = [index for part in ranges.split(",") for index in _read_range(part, outputs)]
    return kinds


def _read_range(part: str, outputs: int) -> range:
    """Return the indices of "7" or "7-24"; raises an `InputError` that does not name the file."""
    text, _, end = part.strip().partition("-")
    first, last = whole_number(text), whole_number(end or text)
    if first is None or last is None:
        raise InputError(f"expected an index such as 7, or a range such as 7-24, got {short_repr(part)}")
    if not 0 <= first <= last < outputs:
        raise InputError(f"expected indices from 0 to {outputs - 1}, rising, got {short_repr(part)}")
    return range(first, last + 1)
