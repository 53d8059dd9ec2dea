"""Builds a detector from a YAML file, which names the classes of its stages by import path.

`load_detector` is the entry point. A shipped file can be named alone, without its folder.
"""

import os
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from detection.datasets.files.text_file import is_file, read_text
from detection.datasets.files.yaml_size import require_few_values
from detection.detector import Detector
from detection.errors import InputError, missing_annotations, shorten, unknown_module
from detection.runtime.weights_files.engine import DEVICE_NAMES, has_torch, is_device_name

if TYPE_CHECKING:
    import torch

DETECTOR_FILE = "detector.yaml"
"""The file that describes a detector in the folder that `detect-train DATA` writes."""

MIN_TILE = 64
"""The smallest side of a tile in pixels; the time grows with the number of tiles, and so with the inverse square."""

TILE_OVERLAP = 0.2
"""The share of a tile of a large picture that its neighbour shows too, as in SAHI (arXiv 2202.06934)."""

DEFAULT_CONFIG = Path(__file__).parent.parent / "configs" / "detector.yaml"


def find_config(name: str | os.PathLike[str] | None, file_in_folder: str = "") -> Path:
    """Return the path of a configuration file; the name of a shipped one is enough, from any folder.

    None stands for the shipped detector. If `name` is a file, its path is returned, and if it is a folder, that of
    `file_in_folder` in it. Otherwise, if `name` is a name without folders, the file of that name in `configs/` or one
    of its folders is taken. If there is none, the path is returned as it was given.
    """
    if name is None:
        return DEFAULT_CONFIG
    path = Path(name)
    # os.path also answers for names that no file can have.
    if os.path.isdir(path):  # noqa: PTH112
        return path / file_in_folder
    if os.path.exists(path) or path.parent != Path():  # noqa: PTH110
        return path
    return next((shipped for shipped in DEFAULT_CONFIG.parent.rglob("*") if shipped.name == path.name), path)


def load_detector(
    config: str | os.PathLike[str] | None = None,
    device: "str | torch.device | None" = None,
    *,
    tile: int | None = None,
    overlap: float | None = None,
) -> Detector:
    """Return the detector that a YAML file, or the folder of a detector, describes; by default the shipped one.

    Args:
        config: a file such as `configs/detector.yaml`, the folder of a detector, such as `detect-train DATA` writes, or
            the name of a shipped file, such as "ensemble.yaml".
        device: "cpu", "cuda", ... or such a device of PyTorch; replaces the devices that the file names for its
            networks.
        tile: also look for boxes in tiles of this side in pixels, which finds smaller objects in large pictures; see
            `detection.sources.tiles.TiledProposer`. At least `MIN_TILE`; None looks at the whole picture only.
        overlap: the share of a tile that its neighbour shows too, at least 0 and at most 0.9; None for `TILE_OVERLAP`.

    Raises:
        InputError: naming the file, if it is missing, is not YAML, or has an unknown key or an unusable value; or if
            weights or a device cannot be used.
        ValueError: if `tile` or `overlap` is out of range, or there is an overlap without tiles.
    """
    if overlap is not None and tile is None:
        raise ValueError("overlap: expected a tile too, because only tiles overlap")
    if tile is not None and tile < MIN_TILE:
        raise ValueError(f"tile: expected at least {MIN_TILE} pixels, got {tile}")
    path = find_config(config, DETECTOR_FILE)
    settings = read_yaml(path)
    if tile is not None and "propose" in settings:
        tiled = {"propose": settings["propose"], "tile": tile, "overlap": TILE_OVERLAP if overlap is None else overlap}
        settings |= {"propose": {"class_path": "detection.sources.tiles.TiledProposer", "init_args": tiled}}
    device = None if device is None else str(device)
    if device not in (None, "cpu"):
        if not is_device_name(device):
            raise InputError(f"device {device}: expected {DEVICE_NAMES}")
        if not has_torch():
            raise InputError(f"device {device}: expected cpu, because PyTorch is not installed; pip install torch")
        from detection.runtime.device import find_device  # noqa: PLC0415  imports PyTorch, which takes time

        find_device(device)  # a missing device is reported before any network is loaded
    return build_detector(settings, source=str(path), device=device)


def find_compiled_modules(config: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the modules of a detector's stages whose loops Numba compiles, for a second process to load early.

    A package lists them as `COMPILED_MODULES` in its `__init__.py`. For example, a stage whose `class_path` is
    `proposals.merge.MergedProposer` belongs to the package `proposals`.
    """
    path = find_config(config, DETECTOR_FILE)
    modules: list[str] = []
    with suppress(InputError):  # a file that cannot be read is reported when the detector is built
        text = read_text(path, expected="a YAML file")
        for package in dict.fromkeys(re.findall(r"class_path[\"']?: *[\"']?(\w+)\.", text)):
            with suppress(Exception):  # a package that cannot be imported is also reported then
                modules += getattr(import_module(package), "COMPILED_MODULES", ())
    return modules


def read_class_names(config: str | os.PathLike[str] | None = None) -> tuple[str, ...] | None:
    """Return the names of the classes of a detector without loading its networks, or None if that is not possible.

    The package of its classifier names a module with a function for it as `CLASS_NAMES_MODULE` in its `__init__.py`.
    """
    with suppress(Exception):  # any fault is reported when the detector is built
        stage = read_yaml(find_config(config, DETECTOR_FILE))["classify"]
        package = import_module(stage["class_path"].partition(".")[0])
        names: tuple[str, ...] | None = import_module(package.CLASS_NAMES_MODULE).read_class_names(stage["init_args"])
        return names
    return None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    In `init_args`, the name of a file that lies beside the YAML file, such as weights, becomes the path of this file.

    Raises:
        InputError: if the file is missing or holds something else.
    """
    text = read_text(path, expected="a YAML file")
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise InputError(f"{path}: expected YAML: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: expected a mapping with keys like propose and classify, got {type(content).__name__}"
        )
    require_few_values(path, content)
    return cast(dict[str, Any], _find_beside(content, path.parent))


def _find_beside(content: Any, folder: Path, *, arguments: bool = False) -> Any:
    """Return the content, in which the names of files in `folder` are replaced by their paths within `init_args`."""
    if isinstance(content, dict):
        return {
            key: _find_beside(value, folder, arguments=arguments or key == "init_args")
            for key, value in content.items()
        }
    if isinstance(content, list):
        return [_find_beside(value, folder, arguments=arguments) for value in content]
    is_name = arguments and isinstance(content, str) and Path(content).suffix != ""
    return str(folder / content) if is_name and is_file(folder / content) else content


class _Loader(yaml.SafeLoader):
    """A loader that names the line of every error, and refuses repeated keys and numbers that 64 bits cannot hold."""

    def get_single_data(self) -> Any:
        """Return the content of the file."""
        try:
            return super().get_single_data()
        except RecursionError:
            reason = "expected values that are nested less deeply"
            raise yaml.composer.ComposerError(None, None, reason, self.get_mark()) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; without this check, the last of several equal keys would count."""
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in keys:
                    reason = f"expected each key once, got {shorten(key.value)} again"
                    raise yaml.constructor.ConstructorError(None, None, reason, key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and abs(value) >= 2**63:
                raise ValueError("expected a number of at most 18 digits")
        except ValueError as error:  # also for impossible dates
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None
        return value


def build_detector(settings: dict[str, Any], *, source: str, device: str | None = None) -> Detector:
    """Return the detector of settings such as those of `configs/detector.yaml`; errors name `source`."""
    from jsonargparse import ArgumentError, ArgumentParser  # noqa: PLC0415  slow, and `detect --help` has to be fast

    deny_dangerous_imports()
    require_opencv()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Detector, "detector", fail_untyped=True)
    try:
        parsed = parser.parse_object({"detector": settings})
        if device is not None:
            set_device(parsed.detector, device)
        detector: Detector = parser.instantiate(parsed).detector
    except (ArgumentError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(re.sub(r"(?<![\w.])detector\.", "", str(error)).split())
        reason = unknown_module(reason) or f"expected the settings of a detector: {reason}{missing_annotations(reason)}"
        raise InputError(f"{source}: {reason}") from None
    return detector


def set_device(settings: Any, device: str) -> None:
    """Set every `device` in the settings of a detector, a `Namespace` of jsonargparse, also within a part of a part."""
    from jsonargparse import Namespace  # noqa: PLC0415

    if isinstance(settings, list):
        for part in settings:
            set_device(part, device)
    elif isinstance(settings, Namespace):
        for key, value in vars(settings).items():
            if key == "device":
                settings[key] = device
            else:
                set_device(value, device)


def deny_dangerous_imports() -> None:
    """Refuse all configurations that name a module such as `os` or `subprocess`, before the module is imported.

    jsonargparse has the list of these modules. It also checks that any other class is of the expected kind before it
    builds an object. But it imports the module of the class for this check, so a configuration is code.
    """
    from jsonargparse import set_parsing_settings  # noqa: PLC0415

    set_parsing_settings(import_path_denylist=[])  # adds nothing to the list, but turns its warnings into errors


def require_opencv() -> None:
    """Check that OpenCV is installed as a whole: the stages of most detectors need it.

    Raises:
        InputError: if it cannot be imported, or is empty, which happens if one of two builds was uninstalled.
    """
    try:
        reason = "" if hasattr(import_module("cv2"), "resize") else "a module without functions"
    except ImportError as error:
        reason = " ".join(str(error).split())
    if reason:
        raise InputError(f"cv2: expected OpenCV, got: {reason}; pip install --force-reinstall opencv-python-headless")
