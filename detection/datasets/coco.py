"""COCO: photographs with many objects, in one json file a split."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from detection.boxes import as_boxes
from detection.datasets.annotated_box import Corners, check_box
from detection.datasets.dataset import DataSet, Entry
from detection.datasets.faults import Faults
from detection.errors import InputError
from detection.ground_truth import GroundTruth

Record = dict[str, Any]
Value = TypeVar("Value")


class _Object(NamedTuple):
    box: Corners
    label: int
    ignored: bool


class _Image(NamedTuple):
    place: str
    name: str
    size: tuple[int, int]
    objects: list[_Object]


class COCO(DataSet):
    """Reader for the json files of COCO's object detection.

    Labels follow the order of the category identifiers, which have gaps. Boxes that stick out by a fraction of a
    pixel are clipped. `iscrowd` objects are `ignored`, and so are boxes of exactly no width or no height, of which
    the official train2017 has two. Segmentations are passed over.

    Args:
        root: the folder of the data set.
        annotations: the json file within; `{split}` stands for the split.
        images: the folder of the images within, likewise.

    Raises:
        InputError: if there is no such json file, or the categories in it are malformed.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str = "annotations/instances_{split}.json",
        images: str = "{split}",
    ) -> None:
        self.root = Path(root)
        self.annotations = annotations
        self.images = images
        pattern = glob.escape(str(self.root / annotations)).replace("{split}", "*")
        files = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207  takes absolute patterns too
        if not files:
            raise InputError(f"{self.root / annotations}: expected a json file in the format of COCO, got none")
        # All splits have the same categories, as `entries` checks, so those of the file that is read fastest do.
        self._source = min(files, key=os.path.getsize)
        self._categories = _categories(_load(self._source), self._source)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self._categories.values())

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        path = self.root / self.annotations.replace("{split}", split)
        content = _load(path)
        if _categories(content, path) != self._categories:
            raise InputError(f"{path}: expected the categories of {self._source}, got others")
        images = _read_images(content, path, faults)
        self._read_objects(content, path, images, faults)
        folder = self.root / self.images.replace("{split}", split)
        for image_id, image in images.items():
            boxes = as_boxes([one.box for one in image.objects])
            labels = np.array([one.label for one in image.objects], np.int64)
            ignored = np.array([one.ignored for one in image.objects], np.bool_)
            yield Entry(
                image.place, GroundTruth(str(image_id), folder / image.name, boxes, labels, ignored), image.size
            )

    def _read_objects(self, content: Record, path: Path, images: dict[int, _Image], faults: Faults) -> None:
        """Add the objects to their images."""
        labels = {category: label for label, category in enumerate(self._categories)}
        known: set[int] = set()
        for index, item in enumerate(_list(content, "annotations", path)):
            with faults.at(partial(_place, path, "annotations", index, item)):
                annotation_id = _field(item, "id", int)
                if annotation_id in known:
                    raise InputError("expected each annotation once, got its id again")
                known.add(annotation_id)
                image_id, category = _field(item, "image_id", int), _field(item, "category_id", int)
                if image_id not in images:
                    raise InputError(f"expected the id of an image of the file, got image_id {image_id}")
                if category not in labels:
                    raise InputError(f"expected the id of a category of the file, got category_id {category}")
                box, empty = _box(item, images[image_id].size)
                ignored = empty or _is_crowd(item)
                images[image_id].objects.append(_Object(box, labels[category], ignored))


def _load(path: Path) -> Record:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected a json file in the format of COCO: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected json: {error.msg} in column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected json in UTF-8: {error.reason}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a json object with images, annotations and categories")
    return content


def _categories(content: Record, path: Path) -> dict[int, str]:
    """Names by identifier, in the order of the identifiers."""
    items = _list(content, "categories", path)
    named = []
    for index, item in enumerate(items):
        with Faults().at(partial(_place, path, "categories", index, item)):
            named.append((_field(item, "id", int), _field(item, "name", str)))
    categories = dict(sorted(named))
    if not items or len(categories) < len(items) or len(set(categories.values())) < len(items):
        raise InputError(f"{path}: expected categories, each id and each name once, got {len(items)}")
    return categories


def _read_images(content: Record, path: Path, faults: Faults) -> dict[int, _Image]:
    """The images by their identifiers, without objects as yet."""
    images: dict[int, _Image] = {}
    for index, item in enumerate(_list(content, "images", path)):
        place = _place(path, "images", index, item)
        with faults.at(place):
            image_id = _field(item, "id", int)
            if image_id in images:
                raise InputError("expected each image once, got its id again")
            size = _field(item, "height", int), _field(item, "width", int)
            if min(size) <= 0:
                raise InputError(f"expected a width and height above 0, got {size[1]} and {size[0]}")
            images[image_id] = _Image(place, _field(item, "file_name", str), size, [])
    return images


def _box(item: Record, size: tuple[int, int]) -> tuple[Corners, bool]:
    """The box, and whether it is empty."""
    numbers = _field(item, "bbox", list)
    stated = f"x, y, width, height {numbers}"
    if len(numbers) != 4 or any(type(number) not in (int, float) for number in numbers):
        raise InputError(f"expected a bbox of four numbers, got {stated}")
    x, y, width, height = numbers
    if 0 in (width, height):
        # Checked as a box of one pixel, which may lie on the border: where it is still has to make sense.
        check_box((x - 0.5, y - 0.5, x + width + 0.5, y + height + 0.5), size, stated=stated)
        return (x, y, x + width, y + height), True
    return check_box((x, y, x + width, y + height), size, stated=stated), False


def _is_crowd(item: Record) -> bool:
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InputError(f"expected 0 or 1 for iscrowd, got {crowd!r}")
    return bool(crowd)


def _list(content: Record, key: str, path: Path) -> list[Any]:
    items = content.get(key)
    if not isinstance(items, list):
        raise InputError(f"{path}: expected a list '{key}', got {type(items).__name__}")
    return items


def _field(item: Any, key: str, kind: type[Value]) -> Value:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"expected a field '{key}' of type {kind.__name__}, got {value!r}")
    return value


def _place(path: Path, key: str, index: int, item: Any) -> str:
    """File, position in its list (from 0), and identifier."""
    identifier = item.get("id") if isinstance(item, dict) else None
    return f"{path}: {key}[{index}] (id {identifier})"
