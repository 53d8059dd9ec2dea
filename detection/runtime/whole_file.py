"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from detection.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place at once; folders are made, and an earlier file is there until then.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to, got: {error.strerror}") from None


def number_text(value: float) -> str:
    """The shortest text that is read as the same number, without a needless ".0"."""
    return str(int(value)) if value.is_integer() else repr(value)
