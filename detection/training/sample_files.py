"""Which files a batch is made of, for the one message that names them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def file_names(paths: Iterable[Path]) -> str:
    """The paths as one text.

    Loaders, and Lightning at each step, look into all that a batch consists of: at 512 paths for milliseconds, at a
    text not at all.
    """
    return ", ".join(map(str, paths))
