"""Reads the classes of a classifier from its weights file, in milliseconds, because no network is built."""

import json
from collections.abc import Mapping
from typing import Any


def read_class_names(arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the classes of a classifier with these `init_args`, or None if they are not in a safetensors file.

    Raises:
        Exception: nearly any, if the arguments or the file are faulty; building the classifier then tells the fault.
    """
    from safetensors import safe_open  # noqa: PLC0415  slow to import, and seldom needed

    from classifier.scoring.description import METADATA_KEY, find_weights  # noqa: PLC0415

    path = find_weights([*arguments.get("members", ()), arguments.get("weights")][0])
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, framework="np") as file:
        return tuple(json.loads(file.metadata()[METADATA_KEY])["class_names"])
