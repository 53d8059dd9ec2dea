"""Random changes of trees of values, such as the content of a JSON or YAML file."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from numpy.random import Generator

from tools.fuzz.inputs.mutations.byte_changes import pick
from tools.fuzz.inputs.mutations.text_changes import NUMBERS, WORDS, change_text

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"), 2**31, 2**53 + 1,
    2**63, -(2**63) - 1, 2**64, 10**30, 10**400, "", "a", "0", [], {}, [[]], [None], {"": None}, [1] * 5, ["a", None],
    [0] * 1000, "../../etc/passwd", "a" * 1000, [[[[[[[[]]]]]]]],
)  # fmt: skip
"""Values at which readers go wrong."""


def change_tree(content: Any, random: Generator, *, most: int = 3) -> Any:
    """Return a copy of the content after one to `most` random changes; `content` is a dict, a list or a plain value."""
    root = {"": copy.deepcopy(content)}
    for _ in range(random.integers(1, most + 1)):
        places = list(_places(root))
        if not places:  # an earlier change has removed all
            break
        holder, key = pick(places, random)
        _change_at(holder, key, places, random)
    return root.get("", {})


def change_json(content: Any, random: Generator) -> bytes:
    """Return JSON of the content after random changes of its values, and sometimes of its text."""
    text = json.dumps(change_tree(content, random), indent=1 if random.random() < 0.5 else None)
    return change_text(text, random, most=1) if random.random() < 0.25 else text.encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (dict or list, key or index) for all values below `content`."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def _change_at(holder: Any, key: Any, places: list[tuple[Any, Any]], random: Generator) -> None:
    match random.integers(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[pick(WORDS[:40], random)] = holder.pop(key)
        case 1 | 2 if isinstance(holder, list):
            holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(random.integers(1, 20))]
        case 3:
            other, place = pick(places, random)
            if _has(other, place):
                holder[key] = copy.deepcopy(other[place])
        case 4:
            holder[key] = [holder[key]] if random.random() < 0.5 else {"a": holder[key]}
        case 5:
            holder[key] = str(holder[key]) if random.random() < 0.5 else pick(WORDS + NUMBERS, random)
        case _:
            holder[key] = copy.deepcopy(pick(VALUES, random))


def _has(holder: Any, key: Any) -> bool:
    """Return True if the place is still there after earlier changes."""
    return key in holder if isinstance(holder, dict) else key < len(holder)
