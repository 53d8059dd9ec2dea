"""The options `--classes` and `--list-classes`: the classes of a detector are known before its networks are loaded."""

import argparse
import os
from collections.abc import Sequence

from detection.configuration import load_detector, read_class_names
from detection.errors import InputError
from detection.structures.class_choice import find_labels


def list_classes(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of all classes; the networks are loaded only if there is no other way to know them."""
    names = read_class_names(options.config)
    return load_detector(options.config, options.device).class_names if names is None else names


def check_classes_early(options: argparse.Namespace) -> None:
    """Check the names that the user chose, if those of the detector can be read without loading it."""
    if options.classes is not None and (names := read_class_names(options.config)) is not None:
        check_classes(options.classes, names)


def check_classes(chosen: Sequence[str], class_names: Sequence[str]) -> None:
    """Check the names that the user chose.

    Raises:
        InputError: naming the option and the first name that is no class, with names that are most alike.
    """
    try:
        find_labels(chosen, class_names)
    except ValueError as error:
        hint = "; write images before --classes" if any(map(os.path.exists, chosen)) else ""
        raise InputError(f"--classes: {error}; detect --list-classes prints all names{hint}") from None
