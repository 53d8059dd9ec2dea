"""Settings of a run that are stored with its results, and their comparison with those of another run."""

import json
from typing import Any


def first_difference(stored: dict[str, Any], expected: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first setting that differs as its name, expected value and stored value; None if all are equal.

    The settings are compared as JSON stores them, in which tuples are lists and paths are text. Nested settings have
    dotted names. The text 'left out' stands for an expected value that is missing, 'none' for a stored one.
    """
    actual, wanted = (_flatten(json.loads(json.dumps(settings, default=str))) for settings in (stored, expected))
    for name in sorted(wanted.keys() | actual.keys()):
        if wanted.get(name) != actual.get(name):
            return name, wanted.get(name, "left out"), actual.get(name, "none")
    return None


def _flatten(settings: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings as one dictionary with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _flatten(value) if isinstance(value, dict) and value else None
        flat |= {name: value} if inner is None else {f"{name}.{key}": value for key, value in inner.items()}
    return flat
