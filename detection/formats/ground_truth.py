"""Readers of the ground truth of a split, from any data set or a JSON file in the format of COCO, and its content."""

import json
import os
from collections import Counter
from collections.abc import Collection
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from detection.datasets import COCO, DataSet
from detection.datasets.dataset import Entry
from detection.datasets.files import coco_json
from detection.datasets.files.faults import Faults
from detection.errors import InputError, short_repr, shorten
from detection.structures.boxes import LARGEST_COORDINATE
from detection.structures.split_columns import SplitIndex, SplitObjects, split_index, split_objects, to_records

IGNORED_FLAGS = ("iscrowd", "ignore", "difficult")
"""Flags of objects that are not scored. Converters write VOC's `difficult` as one of the last two."""

_COLUMNS = np.dtype(
    [("images", int), ("labels", int), ("boxes_xywh", float, 4), ("ignored", bool), ("crowd", bool), ("areas", float)]
)
"""The columns of `SplitObjects`."""


def read_data_set(dataset: DataSet, split: str, entries: list[Entry] | None = None) -> SplitObjects:
    """Read the objects of a split of a data set, whose image files need not exist.

    Args:
        dataset: the data set.
        split: "train", "val", ...
        entries: the entries of the split, if they have already been read.

    Raises:
        InputError: as `DataSet.read`, except for missing image files.
    """
    if isinstance(dataset, COCO):  # its file has areas and crowds, which entries do not have
        return read_coco_ground_truth(dataset.annotation_file(split), dataset.left_out)
    return _objects_from_entries(dataset, entries if entries is not None else list(dataset.entries(split, Faults())))


def _objects_from_entries(dataset: DataSet, entries: list[Entry]) -> SplitObjects:
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
        # In ILSVRC's lists of single classes the numbers have another meaning, and are not unique.
        list_numbers=[entry.number or 0 for entry in entries] if len(numbers) == len(entries) else None,
        category_ids=dataset.category_ids,
    )
    return split_objects(index, records)


def read_coco_ground_truth(path: Path, left_out: Collection[int] | None = None) -> SplitObjects:
    """Read the objects in a JSON file in the format of COCO, without any rounding.

    Images only need an `id`; without `width` and `height`, boxes are not compared with the size of their image. Boxes
    without area are ignored, except by COCO's rule.

    Args:
        path: the file.
        left_out: identifiers of categories that are no classes, see `COCO`. By default, these are the parents without
            objects that have the name of another category.

    Raises:
        InputError: naming the file and the place in it, for anything that is malformed, unknown or occurs twice.
    """
    content = coco_json.load_json(path)
    categories = coco_json.read_categories(
        content, path, _repeated_parents(content, path) if left_out is None else left_out
    )
    index = _read_index(content, path, categories)
    rows = {number: row for row, number in enumerate(index.coco_image_ids.tolist())}
    labels = {category: label for label, category in enumerate(categories)}
    objects: list[tuple[Any, ...]] = []
    known: set[int] = set()
    annotations = coco_json.list_of(content, "annotations", path)
    with Faults().at(lambda: coco_json.place_of(path, "annotations", len(objects), annotations[len(objects)])):
        for position, item in enumerate(annotations):
            values = _read_object(item, rows, labels)
            number = coco_json.field_of(item, "id", int) if "id" in item else -1 - position
            coco_json.check_new(number, known, "annotation")
            known.add(number)
            objects.append(values)
    columns = np.array(objects, _COLUMNS)
    return SplitObjects(index, **{name: columns[name] for name in _COLUMNS.names or ()})


def _repeated_parents(content: coco_json.Record, path: Path) -> set[int]:
    """Return the identifiers of categories without objects that are the parent of a category of the same name."""
    parents = coco_json.read_parents(content, path)
    names = Counter(str(item.get("name")) for item in content["categories"] if isinstance(item, dict))
    return {number for number, name in parents.items() if names[name] > 1} - coco_json.read_used_categories(content)


def _read_index(content: coco_json.Record, path: Path, categories: dict[int, str]) -> SplitIndex:
    images: dict[int, Any] = {}
    file_names: list[str] = []
    sizes: list[tuple[int, int] | None] = []
    items = coco_json.list_of(content, "images", path)
    with Faults().at(lambda: coco_json.place_of(path, "images", len(sizes), items[len(sizes)])):
        for item in items:
            number = coco_json.field_of(item, "id", int)
            coco_json.check_new(number, images, "image")
            images[number] = item
            file_names.append(coco_json.field_of(item, "file_name", str) if "file_name" in item else "")
            sizes.append(coco_json.read_size(item) if "width" in item and "height" in item else None)
    try:
        # `coco_ground_truth` adds the names and list numbers that images have in other data sets.
        return split_index(
            [str(item.get("image_id", number)) for number, item in images.items()],
            tuple(categories.values()),
            file_names=file_names,
            sizes=sizes,
            list_numbers=[item.get("list_number", place) for place, item in enumerate(images.values(), start=1)],
            coco_image_ids=list(images),
            category_ids=list(categories),
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise InputError(
            f"{path}: expected names and numbers of images that can be told apart: {shorten(str(error))}"
        ) from None


def _read_object(item: Any, rows: dict[int, int], labels: dict[int, int]) -> tuple[Any, ...]:
    """Return the values of an annotation in the order of `_COLUMNS`."""
    image, label = coco_json.read_references(item, rows, labels)
    x, y, width, height = numbers = coco_json.read_box(item)
    if not all(abs(number) <= LARGEST_COORDINATE for number in numbers) or min(width, height) < 0:  # also for nan
        expected = f"finite numbers of at most {LARGEST_COORDINATE:g}, and a width and height of 0 or more"
        raise InputError(f"expected {expected}, got x, y, width, height {short_repr(numbers)}")
    area = item.get("area", width * height)
    if not (coco_json.is_number(area) and isfinite(area) and area >= 0):
        raise InputError(f"expected an area of 0 or more, got {short_repr(area)}")
    crowd, *other_flags = [coco_json.read_flag(item, flag) for flag in IGNORED_FLAGS]
    ignored = crowd or any(other_flags) or min(width, height) == 0
    return rows[image], label, (x, y, width, height), ignored, crowd, area


def coco_ground_truth(objects: SplitObjects) -> bytes:
    """Return the content of a file of objects in the format of COCO.

    The images also have their names and list numbers in the data set.
    """
    index = objects.index
    images = {
        "id": index.coco_image_ids,
        "image_id": np.array(index.image_ids, object),
        "list_number": index.list_numbers,
        "file_name": np.array(index.file_names, object),
    }
    annotations = {
        "id": np.arange(1, len(objects) + 1),
        "image_id": index.coco_image_ids[objects.images],
        "category_id": index.category_ids[objects.labels],
        "bbox": objects.boxes_xywh,
        "area": objects.areas,
        "iscrowd": objects.crowd.astype(np.int64),
        "ignore": objects.ignored.astype(np.int64),
    }
    content = {
        "images": [
            record | ({"width": width, "height": height} if height else {})
            for record, (height, width) in zip(to_records(images), index.sizes.tolist(), strict=True)
        ],
        "annotations": to_records(annotations),
        "categories": to_records({"id": index.category_ids, "name": np.array(index.class_names, object)}),
    }
    return json.dumps(content).encode("ascii")
