"""Atomic writes: a file appears under its name when it is complete, and until then an earlier file stays there.

`naming_target` and `write_all` also serve the files that grow while a command is at work.
"""

import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from detection.errors import InputError

_PREFIX = ".unfinished-"
"""The names of temporary files begin with this text."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whose content is in memory; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces `path` when the block ends without an error.

    The temporary file is in the same folder, which is created if necessary, and has the same suffix. It is deleted if
    the block raises an error. A path that is no regular file, such as /dev/null, is yielded as it is. An earlier file
    passes on its permissions.

    Raises:
        InputError: naming the file, if an `OSError` shows that it cannot be written.
    """
    with naming_target(path):
        target = Path(os.path.realpath(path))  # the file that a symbolic link points to, so that the link stays
        exists = target.is_file()
        replace = exists or not target.exists()
        temporary = target.with_name(_temporary_name(target.name)) if replace else target
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if replace:
                if exists:
                    shutil.copymode(target, temporary)
                temporary.replace(target)
        finally:
            if replace:
                temporary.unlink(missing_ok=True)


@contextmanager
def naming_target(path: Path, *, expected: str = "a place to write to") -> Iterator[None]:
    """Turn an `OSError` in the block into an `InputError` that names the file or folder to write."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: expected {expected}, got: {error.strerror or error}") from None


def write_all(file: FileIO, content: bytes) -> None:
    """Write all of `content`; one call of `write` may take only a part of it, for example on a full disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def remove_unfinished(folder: Path) -> None:
    """Delete the temporary files that killed writers have left in a folder, in which no writer may be at work."""
    for path in folder.glob(f"{_PREFIX}*"):
        path.unlink(missing_ok=True)


def _temporary_name(name: str) -> str:
    """Return a name with the same suffix; it is never too long for a file, even if `name` is as long as possible."""
    return f"{_PREFIX}{os.getpid()}-{zlib.crc32(os.fsencode(name)):08x}{Path(name).suffix}"
