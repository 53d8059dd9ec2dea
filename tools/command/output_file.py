"""Output files: the options that name them, and checks that each can be written, made before the work starts."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from detection.errors import InputError

OUTPUTS = {
    "json": ("write all figures to this JSON file", ""),
    "html": ("write the report to this file as a page for a browser", ""),
    "csv": ("write the table to this CSV file", ".csv"),
    "plot": ("draw the figures in this PNG file", ".png"),
    "sheet": ("draw photos with right and wrong answers in this PNG file", ".png"),
}
"""The help text and the required file name suffix of each option that `add_output_options` knows."""


def add_output_options(parser: ArgumentParser, *names: str) -> None:
    """Add the options `names` out of `OUTPUTS`; each names a file that the command writes at its end."""
    for name in names:
        parser.add_argument(f"--{name}", type=str | None, help=OUTPUTS[name][0])


def prepare_outputs(settings: Namespace, *names: str) -> list[Path | None]:
    """Return the path that each of the options `names` gives, or None where the option was not used.

    Raises:
        InputError: as `prepare_output` does, or if a plot is asked for and matplotlib is not installed.
    """
    paths: list[Path | None] = []
    for name in names:
        given = settings[name]
        if given is None:
            paths.append(None)
        else:
            paths.append(prepare_plot(given) if name == "plot" else prepare_output(given, suffix=OUTPUTS[name][1]))
    return paths


def prepare_output(name: str, *, suffix: str = "") -> Path:
    """Return the path of a file that is written later, and create its folder if necessary.

    Raises:
        InputError: if the name does not end in `suffix` (such as ".png"), or the file cannot be written.
    """
    path = Path(name)
    if not name.lower().endswith(suffix):
        raise InputError(f"{path}: expected a name that ends in {suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to, got: {error.strerror}") from None
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path}: expected a place to write to, got no permission")
    return path


def prepare_plot(name: str) -> Path:
    """Return the path of a PNG file that matplotlib will draw.

    Raises:
        InputError: as `prepare_output` does, or if matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"{name}: expected matplotlib to draw it with; install inception-rcnn[train]")
    return prepare_output(name, suffix=".png")
