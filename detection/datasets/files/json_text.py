"""Reader of JSON files, and the errors of their text: where it is malformed, nested too deeply, or has long numbers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detection.datasets.files.text_file import read_text
from detection.errors import InputError

DEPTH = 100
"""The depth of nested lists that no file of ours needs; Python reads about 900."""

_BRACKETS = re.compile(r'"(?:[^"\\]+|\\.)*"|[\[\]{}]')


def read_json(path: Path, *, expected: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: naming the file and the line, if it is missing, empty or not JSON.
    """
    text = read_text(path, expected=expected)
    if not text.strip():
        raise InputError(f"{path}: expected json, got an empty file")
    with naming_lines(path, text):
        return json.loads(text)


@contextmanager
def naming_lines(path: Path, text: str, *, start: int = 0) -> Iterator[None]:
    """Turn the errors of the JSON decoder into an `InputError` that names the file and line.

    Args:
        path: the file.
        text: its content.
        start: where the decoder begins.
    """
    try:
        yield
        return
    except json.JSONDecodeError as error:
        position, reason = error.pos, f"expected json: {error.msg} in column {error.colno}"
    except RecursionError:
        position, reason = _deepest(text, start), "expected json, got lists or objects that are nested too deeply"
    except ValueError:  # Python refuses to convert numbers of more than 4,300 digits
        number = re.compile("[0-9]{4301}").search(text, start)
        position, reason = number.start() if number else start, "expected json, got a number of thousands of digits"
    raise InputError(f"{path}:{line_at(text, position)}: {reason}")


def line_at(text: str, position: int) -> int:
    """Return the number of the line, from 1, of a position in a text."""
    return text.count("\n", 0, position) + 1


def _deepest(text: str, start: int) -> int:
    """Return the first position that is nested deeper than `DEPTH`."""
    depth = 0
    for token in _BRACKETS.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEPTH:
            return token.start()
    return start
