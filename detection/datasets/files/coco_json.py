"""The parts of json files in the format of COCO, checked one by one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from detection.datasets.files.faults import Faults
from detection.errors import InputError

Record = dict[str, Any]
Value = TypeVar("Value")


def load_json(path: Path) -> Record:
    """The content of a file in the format of COCO.

    Raises:
        InputError: naming the file, if it is missing, not JSON, or not a JSON object.
    """
    try:
        text = path.read_bytes()
        if not text.strip():
            raise InputError(f"{path}: expected json, got an empty file")
        content = json.loads(text)
    except OSError as error:
        raise InputError(f"{path}: expected a json file in the format of COCO: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected json: {error.msg} in column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected json in UTF-8: {error.reason}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a json object with images, annotations and categories")
    return content


def read_categories(content: Record, path: Path) -> dict[int, str]:
    """Names of the categories by identifier, in the order of the identifiers.

    Raises:
        InputError: naming the file, if there are none or one is malformed or occurs twice.
    """
    categories: dict[int, str] = {}
    names: set[str] = set()
    for index, item in enumerate(list_of(content, "categories", path)):
        with Faults().at(partial(place_of, path, "categories", index, item)):
            number, name = field_of(item, "id", int), field_of(item, "name", str)
            if number in categories or name in names:
                twice = "id" if number in categories else f"name '{name}'"
                raise InputError(f"expected each category once, got its {twice} again")
            categories[number] = name
            names.add(name)
    if not categories:
        raise InputError(f"{path}: expected categories, got none")
    return dict(sorted(categories.items()))


def list_of(content: Record, key: str, path: Path) -> list[Any]:
    """The list under a key; raises an `InputError` that names the file if there is none."""
    items = content.get(key)
    if not isinstance(items, list):
        raise InputError(f"{path}: expected a list '{key}', got {type(items).__name__}")
    return items


def field_of(item: Any, key: str, kind: type[Value]) -> Value:
    """The value of a field; raises an `InputError` without a place if it is missing or of another type."""
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"expected a field '{key}' of type {kind.__name__}, got {value!r}")
    return value


def is_number(value: Any) -> bool:
    """Return True if a value of a JSON file is a number that float64 can hold; True and False are no numbers."""
    return type(value) is float or (type(value) is int and abs(value) < 2**1023)


def place_of(path: Path, key: str, index: int, item: Any) -> str:
    """File, position in its list (from 0), and identifier."""
    identifier = item.get("id") if isinstance(item, dict) else None
    return f"{path}: {key}[{index}] (id {identifier})"
