"""Long lists in json files, read a part at a time, with the line that each item begins in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detection.errors import InputError

ITEMS_AT_ONCE = 20_000
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_SEPARATOR = re.compile(r"[ \t\n\r]*([,\]])[ \t\n\r]*")


class JsonItems:
    """Items that follow each other in a list: `values`, and the `place` of each, file, line and position from 0."""

    def __init__(self, path: Path, text: str, values: list[Any], starts: list[int], first: int) -> None:
        self.path = path
        self.values = values
        self._text = text
        self._starts = starts
        self._first = first

    def place(self, row: int) -> str:
        """File and line of an item, and its position in the list, counted from 0."""
        line = self._text.count("\n", 0, self._starts[row]) + 1
        return f"{self.path}:{line}: [{self._first + row}]"


def read_json_list(path: Path, *, expected: str) -> Iterator[JsonItems]:
    """The items of a list that makes up a json file, many at a time; none if it is empty.

    Args:
        path: the file.
        expected: what the list should hold, for messages.

    Raises:
        InputError: naming the file and line, if it is missing, empty, not JSON or not a list.
    """
    text = _read_text(path, expected)
    position = _end(_SPACE, text, 0)
    if text[position : position + 1] != "[":
        found = "an empty file" if position == len(text) else f"'{text[position : position + 20]}'"
        raise InputError(f"{path}:{_line(text, position)}: expected {expected}, a json list, got {found}")
    position = _end(_SPACE, text, position + 1)
    count, ended = 0, text[position : position + 1] == "]"
    position = _end(_SPACE, text, position + ended)
    while not ended:
        try:
            values, starts, position, ended = _next_items(text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: expected json: {error.msg} in column {error.colno}") from None
        yield JsonItems(path, text, values, starts, count)
        count += len(values)
    if text[position:].strip():
        raise InputError(f"{path}:{_line(text, position)}: expected the end of the file behind the list")


def _next_items(text: str, position: int) -> tuple[list[Any], list[int], int, bool]:
    """The next items and where they begin; where they end, and whether the list does."""
    values: list[Any] = []
    starts: list[int] = []
    decode, separate = _DECODER.raw_decode, _SEPARATOR.match
    separator = None
    while len(values) < ITEMS_AT_ONCE and (separator is None or separator[1] == ","):
        starts.append(position)
        value, position = decode(text, position)
        values.append(value)
        separator = separate(text, position)
        if separator is None:
            raise json.JSONDecodeError("Expecting ',' or ']' behind an item", text, position)
        position = separator.end()
    return values, starts, position, separator is not None and separator[1] == "]"


def _read_text(path: Path, expected: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected {expected}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected {expected}, in UTF-8: {error.reason}") from None


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
