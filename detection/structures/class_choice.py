"""Finds the classes that a user names among those of a detector, and compares the classes of two sources."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from detection.errors import InputError
from detection.structures.arrays import IntArray


def find_labels(names: str | Sequence[str], class_names: Sequence[str]) -> IntArray:
    """Return the labels of classes, int64 [K], in the order of the detector's classes, each once.

    A name may differ from that of the class in upper and lower case, and have `_` or `-` in place of spaces.

    Raises:
        ValueError: if there is no class of a name; the message has the most similar names.
        TypeError: if a name is no text, such as a label.
    """
    spellings = {_spelling(name): label for label, name in enumerate(class_names)}
    labels = set()
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise TypeError(f"expected names of classes, got {name!r} of type {type(name).__qualname__}")
        if name in class_names:
            labels.add(class_names.index(name))
        elif _spelling(name) in spellings:
            labels.add(spellings[_spelling(name)])
        else:
            raise ValueError(f"expected a class of the detector{_suggestion(name, class_names)}, got '{name}'")
    return np.array(sorted(labels), np.int64)


def require_same_classes(source: str, names: Sequence[str], other: str, other_names: Sequence[str]) -> None:
    """Check that two lists of classes are equal; `source` and `other` say where they come from.

    Raises:
        InputError: naming both, and the first difference.
    """
    for index, (name, expected) in enumerate(zip(names, other_names, strict=False)):
        if name != expected:
            raise InputError(f"{source}: expected the classes of {other}, class {index} is '{name}', not '{expected}'")
    if len(names) != len(other_names):
        raise InputError(f"{source}: expected the {len(other_names)} classes of {other}, got {len(names)}")


def _suggestion(name: str, class_names: Sequence[str]) -> str:
    """Return the classes with similar names as part of an error message, or "" if there are none."""
    spellings = {_spelling(class_name): class_name for class_name in class_names}
    similar = [spellings[match] for match in get_close_matches(_spelling(name), spellings, n=3, cutoff=0.6)]
    return f", such as {' or '.join(map(repr, similar))}" if similar else ""


def _spelling(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
