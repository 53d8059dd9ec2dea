"""The ground truth of a split: from a json file in the format of COCO, or from any data set."""

from __future__ import annotations

import json
import os
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.datasets import COCO, DataSet
from detection.datasets.dataset import Entry
from detection.datasets.files.coco_json import Record, field_of, list_of, load_json, place_of, read_categories
from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.runtime.whole_file import write_whole
from detection.structures.split_columns import SplitIndex, SplitObjects, split_index, split_objects

IGNORED_FLAGS = ("iscrowd", "ignore", "difficult")
"""Fields that say of an object that it counts neither way; converters write VOC's `difficult` as one of the last."""


class _Object(NamedTuple):
    image: int
    label: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool
    ignored: bool


def read_data_set(dataset: DataSet, split: str, entries: list[Entry] | None = None) -> SplitObjects:
    """The objects of a split; its image files need not be there.

    Args:
        dataset: the reader.
        split: "train", "val", ...
        entries: of the split, if they have been read already.

    Raises:
        InputError: as `DataSet.read`, but for the image files.
    """
    if isinstance(dataset, COCO):  # its file has areas and crowds, which entries have not
        return read_coco_ground_truth(dataset.annotation_file(split))
    return _objects_of(dataset, entries if entries is not None else list(dataset.entries(split, Faults())))


def _objects_of(dataset: DataSet, entries: list[Entry]) -> SplitObjects:
    places: dict[str, str] = {}
    for entry in entries:
        image_id = entry.record.image_id
        if image_id in places:
            raise InputError(f"{entry.place}: expected each image once, got '{image_id}' as in {places[image_id]}")
        places[image_id] = entry.place
    records = [entry.record for entry in entries]
    numbers = {entry.number for entry in entries if entry.number is not None and entry.number > 0}
    index = split_index(
        [record.image_id for record in records],
        dataset.class_names,
        file_names=[os.path.relpath(record.path, dataset.root) for record in records],
        sizes=[entry.size for entry in entries],
        # In ILSVRC's lists of single classes the numbers say something else, and are not all different.
        list_numbers=[entry.number or 0 for entry in entries] if len(numbers) == len(entries) else None,
        category_ids=dataset.category_ids,
    )
    return split_objects(index, records)


def read_coco_ground_truth(path: Path) -> SplitObjects:
    """The objects in a json file in the format of COCO, the numbers as they stand there.

    Of an image only the `id` is needed; without `width` and `height` nobody can say whether boxes lie within. Boxes
    without area are ignored, but for COCO's own rule.

    Raises:
        InputError: naming the file and the place in it, for whatever is malformed, unknown or there twice.
    """
    content = load_json(path)
    categories = read_categories(content, path)
    index = _read_index(content, path, categories)
    rows = {number: row for row, number in enumerate(index.coco_image_ids.tolist())}
    labels = {category: label for label, category in enumerate(categories)}
    objects: list[_Object] = []
    known: set[int] = set()
    for position, item in enumerate(list_of(content, "annotations", path)):
        with Faults().at(partial(place_of, path, "annotations", position, item)):
            objects.append(_read_object(item, rows, labels))
            number = field_of(item, "id", int) if "id" in item else -1 - position
            if number in known:
                raise InputError("expected each annotation once, got its id again")
            known.add(number)
    return SplitObjects(
        index=index,
        images=np.array([one.image for one in objects], np.int64),
        labels=np.array([one.label for one in objects], np.int64),
        boxes_xywh=np.array([one.box for one in objects], np.float64).reshape(-1, 4),
        ignored=np.array([one.ignored for one in objects], np.bool_),
        crowd=np.array([one.crowd for one in objects], np.bool_),
        areas=np.array([one.area for one in objects], np.float64),
    )


def _read_index(content: Record, path: Path, categories: dict[int, str]) -> SplitIndex:
    names: list[str] = []
    numbers: dict[int, None] = {}
    sizes: list[tuple[int, int] | None] = []
    for position, item in enumerate(list_of(content, "images", path)):
        with Faults().at(partial(place_of, path, "images", position, item)):
            number = field_of(item, "id", int)
            if number in numbers:
                raise InputError("expected each image once, got its id again")
            numbers[number] = None
            names.append(field_of(item, "file_name", str) if "file_name" in item else "")
            known = "width" in item and "height" in item
            size = (field_of(item, "height", int), field_of(item, "width", int)) if known else None
            if size is not None and min(size) <= 0:
                raise InputError(f"expected a width and height above 0, got {size[1]} and {size[0]}")
            sizes.append(size)
    # Files of `write_coco_ground_truth` have the names and numbers of other data sets too.
    items = list(zip(content["images"], numbers, strict=True))
    try:
        return split_index(
            [str(item.get("image_id", number)) for item, number in items],
            tuple(categories.values()),
            file_names=names,
            sizes=sizes,
            list_numbers=[item.get("list_number", place) for place, (item, _) in enumerate(items, start=1)],
            coco_image_ids=list(numbers),
            category_ids=list(categories),
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise InputError(f"{path}: expected names and numbers of images that can be told apart: {error}") from None


def _read_object(item: Any, rows: dict[int, int], labels: dict[int, int]) -> _Object:
    image, category = field_of(item, "image_id", int), field_of(item, "category_id", int)
    if image not in rows:
        raise InputError(f"expected the id of an image of the file, got image_id {image}")
    if category not in labels:
        raise InputError(f"expected the id of a category of the file, got category_id {category}")
    numbers = field_of(item, "bbox", list)
    if len(numbers) != 4 or any(type(one) not in (int, float) or not isfinite(one) for one in numbers):
        raise InputError(f"expected a bbox of four finite numbers, got x, y, width, height {numbers}")
    x, y, width, height = map(float, numbers)
    if min(width, height) < 0:
        raise InputError(f"expected a width and height of 0 or more, got x, y, width, height {numbers}")
    area = item.get("area", width * height)
    if type(area) not in (int, float) or not area >= 0:
        raise InputError(f"expected an area of 0 or more, got {area!r}")
    flags = [item.get(flag, 0) for flag in IGNORED_FLAGS]
    for name, flag in zip(IGNORED_FLAGS, flags, strict=True):
        if flag not in (0, 1):
            raise InputError(f"expected 0 or 1 for {name}, got {flag!r}")
    ignored = any(flags) or min(width, height) == 0
    return _Object(rows[image], labels[category], (x, y, width, height), float(area), bool(flags[0]), ignored)


def write_coco_ground_truth(path: Path, objects: SplitObjects) -> None:
    """Write objects in the format of COCO, where images have their name and list number in the data set too.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    write_whole(path, coco_ground_truth(objects))


def coco_ground_truth(objects: SplitObjects) -> bytes:
    """What `write_coco_ground_truth` writes."""
    index = objects.index
    columns = zip(
        index.coco_image_ids.tolist(),
        index.image_ids,
        index.list_numbers.tolist(),
        index.file_names,
        index.sizes.tolist(),
        strict=True,
    )
    images = [
        {"id": coco_id, "image_id": name, "list_number": number, "file_name": file_name}
        | ({"width": width, "height": height} if height else {})
        for coco_id, name, number, file_name, (height, width) in columns
    ]
    named = zip(index.category_ids.tolist(), index.class_names, strict=True)
    categories = [{"id": number, "name": name} for number, name in named]
    content = {"images": images, "annotations": _annotations(objects), "categories": categories}
    return json.dumps(content).encode("ascii")


def _annotations(objects: SplitObjects) -> list[Record]:
    columns = zip(
        objects.index.coco_image_ids[objects.images].tolist(),
        objects.index.category_ids[objects.labels].tolist(),
        objects.boxes_xywh.tolist(),
        objects.areas.tolist(),
        objects.crowd.tolist(),
        objects.ignored.tolist(),
        strict=True,
    )
    return [
        {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": area}
        | {"iscrowd": int(crowd), "ignore": int(ignored)}
        for number, (image, category, box, area, crowd, ignored) in enumerate(columns, start=1)
    ]
