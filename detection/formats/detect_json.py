"""Detections as the command `detect --json` writes them: a list of images, each with its `detections`."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detection.datasets.files.coco_json import is_number
from detection.datasets.files.faults import Faults
from detection.errors import InputError, short_repr, shorten
from detection.formats.parts.checked_rows import Rows, check_rows, find_positions, join_rows, positions
from detection.formats.parts.image_names import find_image, images_by_name
from detection.formats.parts.json_list import JsonItems, short_json, write_json_list
from detection.structures.split_columns import SplitDetections, SplitIndex, corners_to_xywh


def read_detect_json(batches: Iterable[JsonItems], index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """Read the detections among the items of a file.

    `image` may be the name of an image in the data set, its file, or the name of its file with or without the suffix.
    The class of a detection is taken from its `class`; its `label` is not read.

    Raises:
        InputError: naming the file and line, for an image that is unknown, ambiguous, listed twice or could not be
            read, an unknown class, or numbers that `check_rows` rejects; naming the file, if an image is not listed.
    """
    names = images_by_name(index)
    labels = positions(index.class_names)
    parts: dict[int, Rows] = {}
    for items in batches:
        for position, item in enumerate(items.values):
            with Faults().at(partial(items.place, position)):
                image = _find_image(item, names)
                if image in parts:
                    raise InputError(f"expected each image once, got {short_repr(item['image'])} again")
                parts[image] = _read_record(item, image, labels, any_score=any_score)
    missing = [name for image, name in enumerate(index.image_ids) if image not in parts]
    if missing and parts:
        raise InputError(
            f"{items.path}: expected a record of all {len(index.image_ids)} images of the ground truth, got "
            f"{len(parts)}; the first without is '{missing[0]}'"
        )
    return join_rows(index, parts.values())


def write_detect_json(path: Path, detections: SplitDetections) -> None:
    """Write one record for each image of the split, also for images without detections.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    index = detections.index
    images = zip(index.image_ids, index.file_names, index.sizes.tolist(), strict=True)
    records: list[dict[str, Any]] = [
        {"image": file_name or name, "width": width, "height": height, "detections": []}
        for name, file_name, (height, width) in images
    ]
    columns = (detections.images, detections.labels, detections.scores, detections.boxes)
    for image, label, score, box in zip(*(column.tolist() for column in columns), strict=True):
        record = {"class": index.class_names[label], "label": label, "score": score, "box": box}
        records[image]["detections"].append(record)
    write_json_list(path, records)


def _read_record(item: dict[str, Any], image: int, labels: dict[str, int], *, any_score: bool) -> Rows:
    """Return the detections of one image; raises an `InputError` that names the detection but not the file."""
    detections = item.get("detections")
    if not isinstance(detections, list):
        reason = (
            f"the image was not read: {shorten(str(item['error']))}"
            if "error" in item
            else f"got {short_repr(detections)}"
        )
        raise InputError(f"expected a list 'detections', {reason}")
    place = "detections[{}]".format
    for position, detection in enumerate(detections):
        if not _is_detection(detection):
            expected = "a class, a score and a box of four numbers"
            raise InputError(f"{place(position)}: expected {expected}, got {short_json(detection)}")
    names = [detection["class"] for detection in detections]
    classes = find_positions(names, labels, place, expected="a class of the ground truth")
    boxes_xywh = corners_to_xywh([detection["box"] for detection in detections])
    scores = np.array([detection["score"] for detection in detections], np.float64)
    check_rows(boxes_xywh, scores, place, any_score=any_score)
    return np.full(len(names), image), classes, boxes_xywh, scores


def _is_detection(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("class"), str) or not isinstance(item.get("box"), list):
        return False
    return len(item["box"]) == 4 and all(map(is_number, (*item["box"], item.get("score"))))


def _find_image(item: Any, names: dict[str, int]) -> int:
    """Return the position of the image that a record is about; raises an `InputError` that does not name the file."""
    name = item.get("image") if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise InputError(f"expected a field 'image' with the name of an image, got {short_json(item)}")
    return find_image(name, names)
