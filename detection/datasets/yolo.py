"""YOLO: a file `data.yaml`, and a text file with boxes for each image."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.annotated_objects import AnnotatedObject, Corners, check_box, object_arrays
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_lines, read_text
from detection.datasets.files.yaml_size import require_few_values
from detection.errors import InputError
from detection.image import read_image_size
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES
from detection.structures.ground_truth import GroundTruth

SPLIT_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""The keys of `data.yaml` under which a split may stand."""

OVERHANG = 0.01
"""The largest distance of a coordinate from the range 0-1 that is accepted, because files round numbers to few digits.
Ultralytics accepts the same."""


class YOLO(DataSet):
    """Reader of data sets in the layout of Ultralytics: `data.yaml`, folders `images` and folders `labels`.

    `data.yaml` has the `names` of the classes, as a list or by number, and for each split a folder, a file with the
    paths of images, or a list of these. They are relative to its `path`, or to the file itself. A path that does not
    exist, as in exports from another machine, is looked for below the file's own folder by its last parts; Roboflow
    writes `../train/images` for `train/images`.

    The boxes of `images/a.jpg` are in `labels/a.txt`, or beside the image. Each line has a class, and x, y, width and
    height of a box or the corners of a polygon, relative to the size of the image. Polygons become their boxes. An
    image without a text file has no objects.

    LabelImg and Label Studio write the names into the lines of a text file instead. The splits are then folders
    `train`, `val` and `test`, also in `images`; without them all images are in "train".

    Args:
        root: the folder of the data set.
        config: the file in this folder, a YAML file or a text file of names.

    Raises:
        InputError: if the file is missing or malformed.
    """

    def __init__(self, root: str | Path, config: str = "data.yaml") -> None:
        self.root = Path(root)
        self.config = self.root / config
        is_yaml = self.config.suffix in (".yaml", ".yml")
        self._folder = self.config.parent if is_yaml else self.root
        self._settings = read_yolo_config(self.config) if is_yaml else _settings_of_names(self.root, self.config)
        self._names = _class_names(self._settings.get("names"), self.config)
        self.class_names = tuple(self._names.values())
        if len(set(self.class_names)) < len(self.class_names):
            raise InputError(f"{self.config}: expected each class once in names, got {', '.join(self.class_names)}")
        self._labels = {number: label for label, number in enumerate(self._names)}

    @property
    def splits(self) -> list[str]:
        """The names of the splits that the file has."""
        return [split for split in SPLIT_KEYS if self._sources(split)]

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        if not self._sources(split):
            raise InputError(f"{self.config}: expected a key '{split}', got none")
        images = [image for source in self._sources(split) for image in self._images(source, faults)]
        if not any(_label_file(image).is_file() for _, image in images):
            first = f"none for {len(images)} images, such as {_label_file(images[0][1])}" if images else "no images"
            raise InputError(f"{self.config}: expected text files with boxes for split '{split}', got {first}")
        for place, image in images:
            with faults.at():
                size = read_image_size(image)
                objects = list(self._objects(_label_file(image), size, faults))
                name = image.relative_to(self.root) if image.is_relative_to(self.root) else image
                yield Entry(place, GroundTruth(name.as_posix(), image, *object_arrays(objects)), size)

    def _sources(self, split: str) -> list[str]:
        values = [self._settings[key] for key in SPLIT_KEYS.get(split, ()) if self._settings.get(key)]
        return [str(item) for value in values for item in (value if isinstance(value, list) else [value])]

    def _images(self, source: str, faults: Faults) -> Iterator[tuple[str, Path]]:
        """Yield (place, image) for the images of a folder, or of the lines of a text file."""
        with Faults().at(str(self.config)):
            path = self._resolve(source)
        if path.is_dir():
            images = (file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            visible = (
                file for file in images if not file.name.startswith(".") and not file.name.endswith(ANNOTATED_SUFFIX)
            )
            yield from ((str(file), file) for file in sorted(visible))
            return
        for number, line in enumerate(read_lines(path, expected="a list of images"), start=1):
            place = f"{path}:{number}"
            with faults.at(place):
                if line.strip():
                    yield place, self._resolve(line.strip(), path.parent)

    def _resolve(self, source: str, folder: Path | None = None) -> Path:
        """Return the path of a folder or file: as written if it exists, or with its last parts in the file's folder."""
        settings_folder = self._folder
        parts = [part for part in re.split(r"[\\/]", source) if part not in ("", ".", "..")]
        base = settings_folder / str(self._settings.get("path") or "")
        candidates = [(folder or base) / source, base / source, settings_folder / source]
        candidates += [settings_folder.joinpath(*parts[start:]) for start in range(len(parts))]
        for path in candidates:
            if os.path.exists(path):  # noqa: PTH110  answers for names that no file can have, too
                # Below a symbolic link, ".." leads to another folder than in the text of the path.
                normal = Path(os.path.normpath(path))
                return normal if os.path.exists(normal) else Path(os.path.realpath(path))  # noqa: PTH110
        raise InputError(f"expected a folder or file '{source}', got none at {candidates[0]}")

    def _objects(self, path: Path, size: tuple[int, int], faults: Faults) -> Iterator[AnnotatedObject]:
        if not path.is_file():
            return
        for number, line in enumerate(read_lines(path, expected="boxes"), start=1):
            with faults.at(f"{path}:{number}"):
                if line.strip():
                    class_number, box = _read_line(line, size)
                    if class_number not in self._labels:
                        raise InputError(f"expected the number of a class in {self.config}, got {class_number}")
                    yield AnnotatedObject(box, self._labels[class_number], ignored=False)


def read_yolo_config(path: Path) -> dict[str, Any]:
    """Return the content of `data.yaml`, in which all values are texts.

    Raises:
        InputError: naming the file, if it cannot be read or is no mapping.
    """
    text = read_text(path, expected="the configuration of a data set")
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # other loaders would turn a class "no" into False
    except yaml.YAMLError as error:
        raise InputError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{path}: expected YAML with values that are nested less deeply") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping with the key names")
    require_few_values(path, content)
    return content


def _settings_of_names(root: Path, path: Path) -> dict[str, Any]:
    """Return the settings that a text file of names, and the folders of splits beside it, stand for."""
    splits = {
        split: folder
        for split, keys in SPLIT_KEYS.items()
        for key in keys
        for folder in (key, f"images/{key}")
        if (root / folder).is_dir()
    }
    return {"names": read_lines(path, expected="names of classes"), **(splits or {"train": "."})}


def _class_names(names: Any, path: Path) -> dict[int, str]:
    """Return the names of the classes by number, in the order of the numbers."""
    if isinstance(names, list):
        names = {str(number): name for number, name in enumerate(names)}
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{path}: expected names of classes, as a list or by number, got {names!r}")
    if wrong := [number for number in names if not number.isdecimal()]:
        raise InputError(f"{path}: expected the number of each class in names, got '{wrong[0]}'")
    return dict(sorted((int(number), name) for number, name in names.items()))


def _label_file(image: Path) -> Path:
    """Return the text file of an image: beside it, or in `labels` in place of the last folder `images`."""
    beside = image.with_suffix(".txt")
    *folders, _ = image.parts
    if "images" not in folders or beside.is_file():
        return beside
    last = len(folders) - 1 - folders[::-1].index("images")
    return Path(*folders[:last], "labels", *folders[last + 1 :], beside.name)


def _read_line(line: str, size: tuple[int, int]) -> tuple[int, Corners]:
    """Return the number of the class and the box in pixels; raises an `InputError` that does not name the file."""
    try:
        first, *numbers = map(float, line.split())
    except ValueError:
        raise InputError(f"expected a class and numbers, got '{line.strip()}'") from None
    is_polygon = len(numbers) >= 6 and len(numbers) % 2 == 0
    if not first.is_integer() or (len(numbers) != 4 and not is_polygon) or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"expected a class, and x y width height or the corners of a polygon, got {len(numbers) + 1} numbers"
        )
    if is_polygon:
        x1, y1, x2, y2 = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    else:
        x, y, width, height = numbers
        x1, y1, x2, y2 = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    stated = " ".join(f"{number:g}" for number in numbers)
    if min(x1, y1) < -OVERHANG or max(x2, y2) > 1 + OVERHANG:
        raise InputError(f"expected a box within the image, in numbers of 0 to 1, got {stated}")
    rows, columns = size
    inside = [min(max(value, 0.0), 1.0) for value in (x1, y1, x2, y2)]
    corners = (inside[0] * columns, inside[1] * rows, inside[2] * columns, inside[3] * rows)
    return int(first), check_box(corners, size, stated=stated)
