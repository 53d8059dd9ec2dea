"""Reads text files: `read_text` reads any text file of a user, and other functions read lines, tables and lists."""

import codecs
import glob
import json
import os
import re
from pathlib import Path

from detection.datasets.files.faults import Faults
from detection.errors import InputError, short_repr

BEGINNING = 4
"""The number of bytes at the beginning of a file that tell its encoding."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def read_text(path: Path, *, expected: str, declared: str | None = None) -> str:
    r"""Return the content of a text file, in which lines end with "\n".

    A byte order mark, or every second byte being 0, tells UTF-16 and UTF-32. Any other file is UTF-8, or is in the
    encoding that it declares.

    Args:
        path: the file.
        expected: what the file should hold, for error messages.
        declared: regular expression for the declaration of an encoding, with the name as its group.

    Raises:
        InputError: naming the file, and the line if possible, if it cannot be read or has another encoding.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{path}: expected {expected}: {getattr(error, 'strerror', error)}") from None
    encoding = find_encoding(content[:BEGINNING])
    if declared and encoding == "utf-8" and (declaration := re.match(declared.encode(), content)):
        encoding = _find_codec(declaration[1].decode("ascii", "replace"))
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        reason = f"{error.reason} at byte {error.start}"
        raise InputError(f"{path}:{before.count(chr(10)) + 1}: expected {expected} in {encoding}: {reason}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_file(path: str | Path) -> bool:
    """Return True if there is such a file, and False also for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113  three times as fast as Path.is_file, which raises an error for such names


def find_encoding(beginning: bytes) -> str:
    """Return the encoding of a text file that begins with these bytes: UTF-8, UTF-16 or UTF-32."""
    return json.detect_encoding(beginning)  # it looks at the byte order mark and the zeros, which suits any text


def _find_codec(name: str) -> str:
    """Return the encoding of a file that declares `name`, a name of any case, but shows no sign of UTF-16 or UTF-32."""
    try:
        known = codecs.lookup(name).name
        b"a".decode(known, "replace")  # fails for codecs that are not of text, such as base64
    except (LookupError, ValueError):  # also for a name with a null character, and for text that cannot be decoded
        return "utf-8"
    # Programs that declare one of these encodings use the larger one that contains it, as browsers assume too.
    larger = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252"}
    return "utf-8" if known.startswith(("utf-16", "utf-32", "utf_8_sig")) else larger.get(known, known)


def read_lines(path: Path, *, expected: str) -> list[str]:
    """Return the lines of a text file, without empty lines at its end; raises as `read_text` does."""
    text = read_text(path, expected=expected).rstrip()
    return text.split("\n") if text else []


def whole_number(text: str) -> int | None:
    """Return a whole number that 64 bits can hold, or None for any other text."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None


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
        raise InputError(f"{place}: expected the header {header!r}, got {short_repr(line)}")
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
            case [name, text] if (number := whole_number(text)) is not None:
                images.append((place, name, number))
            case _:
                expected = "expected the name of an image, or name and number"
                faults.report(InputError(f"{place}: {expected}, got {short_repr(line)}"))
    return images


def files_of_splits(pattern: Path, *, expected: str) -> list[Path]:
    """Return the sorted files of all splits, for a path in which `{split}` stands for the name of a split.

    Raises:
        InputError: naming the path and what was `expected` there, if there is no such file.
    """
    names = glob.glob(glob.escape(str(pattern)).replace("{split}", "*"))  # noqa: PTH207  takes absolute patterns too
    if not names:
        raise InputError(f"{pattern}: expected {expected}, got none")
    return [Path(name) for name in sorted(names)]
