"""The rule by which a command may write to a file, so that no output destroys what a user has.

1. A command never writes to a file that it reads, by whatever name or link, not even with `--overwrite`.
2. It replaces a file only if the same command wrote it, so that it can run every day, or if the file is empty, or with
   `--overwrite`. A command knows its own files by their first bytes: most hold the name of the command, see `made_by`.
3. It writes a new file beside the old one, which takes its place when it is complete: `detection.runtime.atomic_write`.

The checks are made before the work. `docs/behaviour/decisions.md` states the rule for users.
"""

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from detection.errors import InputError
from detection.runtime.atomic_write import naming_target

OVERWRITE_HELP = "also replace files that this command did not write"

BEGINNING = 1 << 20
"""Number of bytes by which a command knows its own files; the header of a weights file is shorter."""

Identity = tuple[int, int]
"""The device and the inode of a file, which all its names and links share."""

Inputs = Mapping[Identity, Path]
"""The files and folders that a command reads."""

Recognise = Callable[[bytes], bool]
"""A function that returns True if a file that begins with these bytes was written by the command."""


def made_by(command: str) -> str:
    """Return the text that the files of a command hold as the name of what made them."""
    return f"inception-rcnn ({command})"


def identify(paths: Iterable[Path]) -> dict[Identity, Path]:
    """Return those of the files and folders that exist, by their identity."""
    return {identity: path for path in paths if (identity := _identity(path)) is not None}


def require_replaceable(
    path: Path, recognise: Recognise | None, *, inputs: Inputs, overwrite: bool, permission: str = "--overwrite"
) -> None:
    """Check by the rule of this module that a command may write to `path`.

    Args:
        path: the file that is to be written. A device or a pipe passes, because it cannot be replaced.
        recognise: tells the files that the command itself has written; None for files that somebody may have edited
            since, or whose format has no place for a name, which are replaced only with `overwrite`.
        inputs: what the command reads. In one of these folders, a file that this command did not write is never
            replaced, even with `overwrite`.
        overwrite: True if the user allows to replace any other file.
        permission: how the user can allow it, for the error message.

    Raises:
        InputError: naming the file, if it must not be written.
    """
    try:
        status = path.stat()
    except OSError:
        return  # there is no such file, or `require_writable` tells why it cannot be reached
    if stat.S_ISDIR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a whole disk"
        raise InputError(f"{path}: expected a file to write, got {kind}")
    identity = (status.st_dev, status.st_ino)
    if identity in inputs:
        raise InputError(f"{path}: expected another file than {inputs[identity]}, which the command reads")
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return
    if recognise is not None and recognise(_beginning(path)):
        return
    reason = " and was not written by this command" if recognise is not None else ""
    other = f"{path}: expected a new file, but this file exists{reason}"
    if not overwrite:
        raise InputError(f"{other}; choose another name or use {permission}")
    folder = next((folder for folder in inputs.values() if folder.is_dir() and _has_file(folder, identity)), None)
    if folder is not None:
        raise InputError(f"{other}, and is in {folder}, which the command reads; choose another name")


def require_writable(path: Path) -> None:
    """Create the folder of a file that is written later, and check that files can be written there.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    if path.parent.is_file():
        raise InputError(f"{path}: expected a place to write to, got: {path.parent} is a file")
    with naming_target(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(0, "no permission")
        if path.is_file() or not path.exists():
            with tempfile.TemporaryFile(dir=path.resolve().parent):
                pass


def named_files(settings: Any) -> Iterator[Path]:
    """Yield the files and folders that nested settings name, such as the options of a command or a YAML file."""
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list | tuple | set):
        for part in settings:
            yield from named_files(part)
    elif isinstance(settings, str | os.PathLike) and (text := os.fspath(settings)) and _identity(Path(text)):
        yield Path(text)


def is_marked_page(beginning: bytes, command: str) -> bool:
    """Return True if a file with this beginning is a page of the command, which names it as its generator."""
    return f'<meta name="generator" content="{made_by(command)}">'.encode() in beginning[:2000]


def is_marked_png(beginning: bytes, command: str) -> bool:
    """Return True if a file with this beginning is a PNG file of the command, see `png_mark`."""
    chunks = beginning.partition(b"IDAT")[0]
    return chunks.startswith(b"\x89PNG") and f"Software\0{made_by(command)}".encode() in chunks


def png_mark(command: str) -> PngInfo:
    """Return what a PNG file of the command says about its origin, for Pillow's `save(pnginfo=...)`."""
    mark = PngInfo()
    mark.add_text("Software", made_by(command))
    return mark


def are_marked_weights(beginning: bytes, command: str) -> bool:
    """Return True if a file with this beginning is a weights file whose description says that the command made it."""
    try:
        metadata = json.loads(beginning[8 : 8 + int.from_bytes(beginning[:8], "little")])["__metadata__"]
        descriptions = [json.loads(text) for text in metadata.values()]
        return any(description["training"]["made_by"] == made_by(command) for description in descriptions)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: the name has a null character
        return None
    return status.st_dev, status.st_ino


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BEGINNING)
    except OSError:
        return b""  # an unreadable file counts as written by another program


def _has_file(folder: Path, identity: Identity) -> bool:
    """Return True if the file is in the folder, or in a folder below it, under whatever name."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return any(_identity(path) == identity for path in paths)
