"""Files that a tool writes when its work is done, checked before it starts."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from detection.errors import InputError


def prepare_output(name: str, *, suffix: str = "") -> Path:
    """The path of a file to write later, whose folder is made now if need be.

    Raises:
        InputError: if the name does not end in `suffix` (such as ".png"), or the file could not be written.
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
    """The path of a PNG file that matplotlib will draw.

    Raises:
        InputError: as `prepare_output`, or if matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"{name}: expected matplotlib to draw it with; install inception-rcnn[train]")
    return prepare_output(name, suffix=".png")
