"""The limit on the values of a YAML file, whose aliases can repeat others any number of times."""

from pathlib import Path
from typing import Any

from detection.errors import InputError

MAX_VALUES = 100_000
"""The largest number of values in a YAML file, each counted as often as it is repeated. Our files have some hundred;
ten lines of aliases could stand for billions, which would fill the memory as soon as they are copied or printed."""


def require_few_values(path: Path, content: Any) -> None:
    """Check that a YAML file has at most `MAX_VALUES` values. Aliases do not make the check slower.

    Raises:
        InputError: naming the file, if there are more values, or if one contains itself.
    """
    try:
        count = _count(content, {})
    except RecursionError:
        raise InputError(f"{path}: expected values that do not contain themselves") from None
    if count > MAX_VALUES:
        raise InputError(f"{path}: expected at most {MAX_VALUES} values, got more, which aliases repeat")


def _count(content: Any, known: dict[int, int]) -> int:
    """Return the number of values in a list or mapping; `known` has those of the parts that were counted already."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(content)]
