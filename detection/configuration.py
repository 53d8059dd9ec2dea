"""From a YAML file to a detector. The file is the wiring diagram: it names the stages by import path."""

from __future__ import annotations

import os
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
