"""Readers of text files: lists of images, classes and boxes."""

from pathlib import Path

from detection.datasets.files.faults import Faults
from detection.errors import InputError


def read_text(path: Path, *, expected: str) -> str:
    """Return the content of a text file.

    Raises:
        InputError: naming the file and saying what is `expected` of it, if it is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected {expected}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected {expected} in UTF-8: {error.reason}") from None


def read_lines(path: Path, *, expected: str) -> list[str]:
    """Return the lines of a text file, without empty lines at its end; raises as `read_text` does."""
    return read_text(path, expected=expected).rstrip().splitlines()


def read_table(path: Path, *, header: str, expected: str) -> list[tuple[str, str]]:
    """Return (place, line) for each line below the header; the place is the file and line, for error messages.

    Empty lines and lines that begin with # are skipped; the first of the other lines is the header.

    Raises:
        InputError: naming the file and line, for another header; or as `read_text` does.
    """
    lines = enumerate(read_lines(path, expected=expected), start=1)
    rows = [(f"{path}:{number}", line) for number, line in lines if line.strip() and not line.startswith("#")]
    if not rows or rows[0][1] != header:
        place, line = rows[0] if rows else (str(path), "")
        raise InputError(f"{place}: expected the header {header!r}, got {line!r}")
    return rows[1:]


def read_image_list(path: Path, faults: Faults) -> list[tuple[str, str, int | None]]:
    """Return (place, name, number) for each line `name` or `name number` of a list of images.

    The place is the file and line, for error messages. Other lines are reported to `faults`.

    Raises:
        InputError: naming the file, if it is missing.
    """
    images: list[tuple[str, str, int | None]] = []
    for line_number, line in enumerate(read_lines(path, expected="a list of images"), start=1):
        place = f"{path}:{line_number}"
        match line.split():
            case [name]:
                images.append((place, name, None))
            case [name, number] if number.removeprefix("-").isdecimal():
                images.append((place, name, int(number)))
            case _:
                faults.report(InputError(f"{place}: expected the name of an image, or name and number, got '{line}'"))
    return images
