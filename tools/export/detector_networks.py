"""The weights files that the settings of a detector name, and the same settings with ONNX files in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from classifier.scoring.description import find_weights
from detection.errors import InputError
from detection.runtime.weights_files.engine import ONNX_SUFFIX, find_file
from proposals.multibox.description import SHIPPED
from tools.export.onnx_writer import OnnxPrecision

TENSOR_SUFFIX = ".safetensors"

DECIDED = ("device", "precision", "input_size")
"""The arguments of a network that its ONNX file decides, so that a detector with ONNX files does not name them."""


class NetworkUse(NamedTuple):
    """A weights file, and the arguments with which a detector uses it; None where the detector leaves the choice."""

    path: Path
    precision: OnnxPrecision | None
    input_size: int | None


def find_networks(settings: Any, *, source: object) -> dict[NetworkUse, str]:
    """Return the weights files that settings name, and the name of the ONNX file of each.

    Raises:
        InputError: naming the `source` of the settings, if they name no weights files.
    """
    files: dict[NetworkUse, str] = {}

    def note(use: NetworkUse) -> str:
        if use not in files:
            names = (use.path.stem + f"_{number}" * (number > 1) for number in range(1, len(files) + 2))
            files[use] = next(name + ONNX_SUFFIX for name in names if name + ONNX_SUFFIX not in files.values())
        return files[use]

    _replace(settings, note)
    if not files:
        raise InputError(f"{source}: expected a detector that names weights files (*{TENSOR_SUFFIX}), found none")
    return files


def require_no_onnx_file(settings: Any, *, source: object) -> None:
    """Check that settings name no ONNX file, which would stay where it is when the detector moves to a new folder.

    Raises:
        InputError: naming the `source` of the settings, and the file.
    """
    parts = settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else []
    for part in parts:
        require_no_onnx_file(part, source=source)
    if isinstance(settings, str) and settings.endswith(ONNX_SUFFIX):
        expected = f"expected a detector whose networks are all safetensors files (*{TENSOR_SUFFIX})"
        raise InputError(f"{source}: {expected}, got {settings}, which is an ONNX file already")


def with_onnx_files(settings: Any, files: Mapping[NetworkUse, str]) -> Any:
    """Return settings that name the ONNX `files` of `find_networks` in place of the weights files."""
    return _replace(settings, lambda use: files[use])


def _replace(settings: Any, name_for: Callable[[NetworkUse], str]) -> Any:
    """Return settings with `name_for` of each weights file in its place."""
    if isinstance(settings, list):
        return [_replace(part, name_for) for part in settings]
    if not isinstance(settings, dict):
        return settings
    if not any(map(_is_weights_file, _leaves(settings))):
        return {key: _replace(value, name_for) for key, value in settings.items()}

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(part) for part in value]
        return name_for(_use(value, settings)) if _is_weights_file(value) else _replace(value, name_for)

    return {key: replaced(value) for key, value in settings.items() if key not in DECIDED}


def _leaves(arguments: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values of arguments, and those in lists."""
    for value in arguments.values():
        yield from value if isinstance(value, list) else [value]


def _is_weights_file(value: Any) -> bool:
    return isinstance(value, str) and value.endswith(TENSOR_SUFFIX)


def _use(name: str, arguments: Mapping[str, Any]) -> NetworkUse:
    """Return the weights file of this name, which the arguments of a class name."""
    path = find_weights(name)
    path = path if path.is_file() else find_file(name, SHIPPED)
    precision = arguments.get("precision")
    # ONNX Runtime has no convolutions of bfloat16 on a CPU.
    chosen = "float32" if precision == "bfloat16" else precision
    return NetworkUse(path.resolve(), cast(OnnxPrecision | None, chosen), arguments.get("input_size"))
