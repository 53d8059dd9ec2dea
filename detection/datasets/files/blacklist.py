"""ILSVRC's blacklist: classes that are not scored in certain images, because these are ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detection.datasets.files.text_file import read_lines
from detection.errors import InputError


def read_blacklist(
    path: Path, images: Mapping[int, str], labels: Mapping[str, int], *, expected: str
) -> dict[str, set[int]]:
    """Return for image ids the labels that are not scored in this image.

    Args:
        path: the file of the development kit, with lines `number class`.
        images: the ids of the images by their number.
        labels: the labels of the classes by the names that the file uses.
        expected: what a line should contain, for error messages.

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
