"""A reader of long lists in JSON files, which keeps the line of each item for error messages."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detection.datasets.files.json_text import line_at, naming_lines
from detection.datasets.files.text_file import read_text
from detection.errors import InputError, shorten
from detection.runtime.atomic_write import write_atomically

ITEMS_AT_ONCE = 20_000
_DECODER = json.JSONDecoder()
_OPENING = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*(\][ \t\n\r]*)?")
_SEPARATOR = re.compile(r"[ \t\n\r]*[,\]][ \t\n\r]*")


class JsonItems(NamedTuple):
    """Consecutive items of a list: the decoded `values` and the `starts` of each in the `text` of the file.

    `first` is the position of the first of these items in the list.
    """

    path: Path
    text: str
    first: int
    values: list[Any]
    starts: list[int]

    def place(self, position: int) -> str:
        """Return the file and line of an item, and its position in the list, counted from 0."""
        return f"{self.path}:{line_at(self.text, self.starts[position])}: [{self.first + position}]"


def read_json_list(path: Path, *, expected: str) -> Iterator[JsonItems]:
    """Yield the items of a JSON file that holds one list, up to `ITEMS_AT_ONCE` at a time.

    Args:
        path: the file.
        expected: what the list should hold, for error messages.

    Raises:
        InputError: naming the file and line, if the file is missing, not JSON or not a list.
    """
    text = read_text(path, expected=expected)
    separator = _OPENING.match(text)
    if separator is None:
        start = text.lstrip()
        line = line_at(text, len(text) - len(start))
        raise InputError(f"{path}:{line}: expected {expected}, a json list, got '{start[:20]}'")
    items = JsonItems(path, text, 0, [], [])
    while "]" not in separator[0]:
        with naming_lines(path, text, start=separator.end()):
            separator = _decode_items(items, separator)
        yield items
        items = JsonItems(path, text, items.first + ITEMS_AT_ONCE, [], [])
    if text[separator.end() :].strip():
        raise InputError(f"{path}:{line_at(text, separator.end())}: expected the end of the file behind the list")


def _decode_items(items: JsonItems, separator: re.Match[str]) -> re.Match[str]:
    """Append items behind a separator to `items`, and return the separator behind them, which may end the list.

    Raises:
        json.JSONDecodeError: if the text is malformed; further errors are those of the decoder.
    """
    while "]" not in separator[0] and len(items.values) < ITEMS_AT_ONCE:
        items.starts.append(separator.end())
        value, end = _DECODER.raw_decode(items.text, separator.end())
        items.values.append(value)
        next_separator = _SEPARATOR.match(items.text, end)
        if next_separator is None:
            raise json.JSONDecodeError("Expecting ',' or ']' behind an item", items.text, end)
        separator = next_separator
    return separator


def write_json_list(path: Path, items: Sequence[Any]) -> None:
    """Write a list as JSON, with one item a line; raises an `InputError` that names the file if this fails."""
    write_atomically(path, ("[\n" + ",\n".join(map(json.dumps, items)) + "\n]\n").encode("ascii"))


def short_json(item: Any) -> str:
    """Return the JSON of an item, shortened to 120 characters for error messages."""
    return shorten(json.dumps(item))
