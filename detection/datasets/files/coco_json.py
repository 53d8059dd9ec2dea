"""Functions that read and check the parts of JSON files in the format of COCO.

Their errors do not name the file unless the function takes its path: see `Faults.at`.
"""

from collections.abc import Container, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from detection.datasets.files.faults import Faults
from detection.datasets.files.json_text import read_json
from detection.errors import InputError, short_repr

Record = dict[str, Any]
Value = TypeVar("Value")


def load_json(path: Path) -> Record:
    """Return the content of a file in the format of COCO.

    Raises:
        InputError: naming the file, if it is missing, not JSON, or not a JSON object.
    """
    content = read_json(path, expected="a json file in the format of COCO")
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a json object with images, annotations and categories")
    return content


def read_categories(content: Record, path: Path, left_out: Container[int] = ()) -> dict[int, str]:
    """Return the names of the categories by identifier, in the order of the identifiers, without those `left_out`.

    Raises:
        InputError: naming the file, if there are no categories, or a category is malformed or occurs twice.
    """
    categories: dict[int, str] = {}
    names: set[str] = set()
    for index, item in enumerate(list_of(content, "categories", path)):
        with Faults().at(partial(place_of, path, "categories", index, item)):
            number, name = field_of(item, "id", int), field_of(item, "name", str)
            if number in left_out:
                continue
            if number in categories or name in names:
                repeated = "id" if number in categories else f"name '{name}'"
                raise InputError(f"expected each category once, got its {repeated} again")
            categories[number] = name
            names.add(name)
    if not categories:
        raise InputError(f"{path}: expected categories, got none")
    return dict(sorted(categories.items()))


def read_parents(content: Record, path: Path) -> dict[int, str]:
    """Return the names, by identifier, of the categories that are the `supercategory` of another category.

    Exports of some programs have a root category, for example "pets" for "cat" and "dog".
    """
    items = [item for item in list_of(content, "categories", path) if isinstance(item, dict)]
    below: dict[str, set[Any]] = {}
    for item in items:
        if isinstance(parent := item.get("supercategory"), str) and isinstance(item.get("id"), int):
            below.setdefault(parent, set()).add(item["id"])
    named = [item for item in items if isinstance(item.get("id"), int) and isinstance(item.get("name"), str)]
    return {item["id"]: item["name"] for item in named if below.get(item["name"], set()) - {item["id"]}}


def read_used_categories(content: Record) -> set[int]:
    """Return the identifiers of the categories of which there are objects; malformed annotations are passed over."""
    items = content.get("annotations")
    records = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return {item["category_id"] for item in records if isinstance(item.get("category_id"), int)}


def list_of(content: Record, key: str, path: Path) -> list[Any]:
    """Return the list under a key; raises an `InputError` that names the file if there is no list."""
    items = content.get(key)
    if not isinstance(items, list):
        raise InputError(f"{path}: expected a list '{key}', got {type(items).__name__}")
    return items


def field_of(item: Any, key: str, kind: type[Value]) -> Value:
    """Return the value of a field; raises an `InputError` if it is missing or has another type, or over 64 bits."""
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63):
        raise InputError(f"expected a field '{key}' of type {kind.__name__}, got {short_repr(value)}")
    return value


def check_new(number: int, known: Container[int], kind: str) -> None:
    """Raise an `InputError` if an item of this kind with this `id` is already known."""
    if number in known:
        raise InputError(f"expected each {kind} once, got its id again")


def read_size(item: Any) -> tuple[int, int]:
    """Return the height and width of an image; raises an `InputError` if one is missing or not positive."""
    height, width = field_of(item, "height", int), field_of(item, "width", int)
    if min(height, width) <= 0:
        raise InputError(f"expected a width and height above 0, got {width} and {height}")
    return height, width


def read_references(item: Any, images: Container[int], labels: Mapping[int, int]) -> tuple[int, int]:
    """Return the `image_id` and the label of an annotation.

    Args:
        item: the annotation.
        images: the identifiers of the images of the file.
        labels: the label of each category, by its identifier.

    Raises:
        InputError: if the file has no such image or category.
    """
    image, category = field_of(item, "image_id", int), field_of(item, "category_id", int)
    if image not in images:
        raise InputError(f"expected the id of an image of the file, got image_id {image}")
    if category not in labels:
        raise InputError(f"expected the id of a category of the file, got category_id {category}")
    return image, labels[category]


def read_box(item: Any) -> list[float]:
    """Return the x, y, width and height of an annotation; raises an `InputError` if they are not four numbers."""
    numbers = field_of(item, "bbox", list)
    if len(numbers) != 4 or not all(map(is_number, numbers)):
        raise InputError(f"expected a bbox of four numbers, got x, y, width, height {short_repr(numbers)}")
    return numbers


def read_flag(item: Any, name: str) -> bool:
    """Return a flag of an annotation, False if it is missing; raises an `InputError` if it is not 0 or 1."""
    flag = item.get(name, 0)
    if flag not in (0, 1):
        raise InputError(f"expected 0 or 1 for {name}, got {short_repr(flag)}")
    return bool(flag)


def is_number(value: Any) -> bool:
    """Return True if a value of a JSON file is a float or a whole number of 64 bits; True and False are no numbers."""
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def place_of(path: Path, key: str, index: int, item: Any) -> str:
    """Return the file of an item, its position in the list `key` (from 0), and its identifier, for error messages."""
    identifier = item.get("id") if isinstance(item, dict) else None
    return f"{path}: {key}[{index}] (id {short_repr(identifier)})"
