"""ILSVRC's list of images and classes that do not count, as too ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detection.datasets.files.text_file import read_lines
from detection.errors import InputError


def read_blacklist(
    path: Path, images: Mapping[int, str], labels: Mapping[str, int], *, expected: str
) -> dict[str, set[int]]:
    """The labels that do not count by image id, from lines `number class`, as the development kit has them.

    Args:
        path: the file.
        images: image ids by their number.
        labels: of the classes, by the names that the file uses.
        expected: what a line should hold, for messages.

    Raises:
        InputError: naming the file and line, for an unknown number or class.
    """
    blacklist: dict[str, set[int]] = {}
    for line_number, line in enumerate(read_lines(path, expected="a blacklist"), start=1):
        number, _, name = line.strip().partition(" ")
        if not (number.isdecimal() and int(number) in images and name.strip() in labels):
            raise InputError(f"{path}:{line_number}: expected {expected}, got '{line}'")
        blacklist.setdefault(images[int(number)], set()).add(labels[name.strip()])
    return blacklist
