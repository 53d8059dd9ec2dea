"""From a YAML file to a detector. The file is the wiring diagram: it names the stages by import path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from detection.detector import Detector
from detection.errors import InputError

DEFAULT_CONFIG = Path(__file__).parent.parent / "configs" / "detector.yaml"


def find_config(name: str | os.PathLike[str]) -> Path:
    """Return the path of a configuration file; the name of a shipped one is enough, from any folder.

    The file `name` itself comes first. If there is none and `name` has no folder, the file of that name in `configs/`
    or one of its folders is taken. If neither exists, the path is returned as it was given.
    """
    path = Path(name)
    if path.exists() or path.parent != Path():
        return path
    return next((shipped for shipped in DEFAULT_CONFIG.parent.rglob("*") if shipped.name == path.name), path)


def load_detector(config: str | os.PathLike[str] | None = None, device: str | None = None) -> Detector:
    """The detector that a YAML file describes; without one, the detector with the shipped weights.

    Args:
        config: a file like `configs/detector.yaml`.
        device: "cpu", "cuda", ...; overrides what the file says of the networks.

    Raises:
        InputError: naming the file, if it is missing, not YAML, or has an unknown key or an unusable value; or if the
            weights or the device that it names cannot be used.
    """
    path = find_config(config) if config is not None else DEFAULT_CONFIG
    return build_detector(read_yaml(path), source=str(path), device=device)


def find_compiled_modules(config: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the modules of a detector's stages whose loops Numba compiles, for a second process to load early.

    A package lists them as `COMPILED_MODULES` in its `__init__.py`. For example, a stage whose `class_path` is
    `proposals.merge.MergedProposer` belongs to the package `proposals`.

    Raises:
        InputError: naming the file, if it is missing or not YAML.
    """
    path = find_config(config) if config is not None else DEFAULT_CONFIG
    modules: list[str] = []
    for package in dict.fromkeys(name.split(".")[0] for name in _class_paths(read_yaml(path))):
        with suppress(Exception):  # a package that cannot be imported is reported when the detector is built
            modules += getattr(import_module(package), "COMPILED_MODULES", ())
    return modules


def _class_paths(settings: Any) -> Iterator[str]:
    """Yield every `class_path` in the settings of a detector, in their order."""
    if isinstance(settings, dict):
        if isinstance(name := settings.get("class_path"), str):
            yield name
        settings = list(settings.values())
    if isinstance(settings, list):
        for part in settings:
            yield from _class_paths(part)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: if the file is missing or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: expected a YAML file: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or an impossible date
        reason = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise InputError(f"{path}: expected YAML: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: expected a mapping with keys like propose and classify, got {type(content).__name__}"
        )
    return content


def build_detector(settings: dict[str, Any], *, source: str, device: str | None = None) -> Detector:
    """The detector of a mapping like that of `configs/detector.yaml`; `source` names it in errors."""
    from jsonargparse import ArgumentError, ArgumentParser  # noqa: PLC0415  slow, and `detect --help` has to be fast

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Detector, "detector", fail_untyped=True)
    try:
        parsed = parser.parse_object({"detector": settings})
        if device is not None:
            parsed["detector.classify.init_args.device"] = device
            _set_device(parsed.detector.propose, device)
        detector: Detector = parser.instantiate(parsed).detector
    except (ArgumentError, TypeError, ValueError) as error:
        reason = " ".join(str(error).replace("detector.", "").split())
        raise InputError(f"{source}: expected the settings of a detector: {reason}") from None
    return detector


def _set_device(settings: Any, device: str) -> None:
    """Name the device wherever one can be named in the settings of a proposer."""
    from jsonargparse import Namespace  # noqa: PLC0415

    if isinstance(settings, list):
        for part in settings:
            _set_device(part, device)
    elif isinstance(settings, Namespace):
        for key, value in vars(settings).items():
            if key == "device":
                settings[key] = device
            else:
                _set_device(value, device)
