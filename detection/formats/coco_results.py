"""Detections in the format of COCO's results: a json list of `image_id`, `category_id`, `bbox` and `score`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.datasets.files.coco_json import field_of
from detection.errors import InputError
from detection.formats.parts.checked_rows import check_known, check_rows
from detection.formats.parts.json_list import JsonItems
from detection.formats.parts.table_parts import TableParts
from detection.runtime.whole_file import write_whole
from detection.structures.split_columns import SplitDetections, SplitIndex

IDENTIFIERS = ("image_id", "category_id")


def read_coco_results(parts: Iterable[JsonItems], index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """The detections among the items of a file; an image may also be called by its name in the data set.

    Raises:
        InputError: naming the file and line, for an unknown image or category, an `id` that occurs twice, or numbers
            as `check_rows` says.
    """
    images: dict[Any, int] = {name: row for row, name in enumerate(index.image_ids)}
    images |= {number: row for row, number in enumerate(index.coco_image_ids.tolist())}
    categories = {number: label for label, number in enumerate(index.category_ids.tolist())}
    table = TableParts(index)
    known_ids: set[Any] = set()
    for items in parts:
        _check_ids(items, known_ids)
        try:
            rows = np.array([images.get(item["image_id"], -1) for item in items.values], np.int64)
            labels = np.array([categories.get(item["category_id"], -1) for item in items.values], np.int64)
            boxes_xywh = _numbers([item["bbox"] for item in items.values]).reshape(-1, 4)
            scores = _numbers([item["score"] for item in items.values])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _first_fault(items) from None
        numbered = all(type(item[key]) is not bool for item in items.values for key in IDENTIFIERS)  # True == 1
        if not (numbered and len(rows) == len(boxes_xywh) == len(scores)):
            raise _first_fault(items)
        check_known(rows, items.place, _field(items, "image_id"), "the id of an image of the ground truth")
        check_known(labels, items.place, _field(items, "category_id"), "the id of a category of the ground truth")
        check_rows(boxes_xywh, scores, items.place, any_score=any_score)
        table.add(rows, labels, boxes_xywh, scores)
    return table.join()


def write_coco_results(path: Path, detections: SplitDetections) -> None:
    """Write detections as COCO's results.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    index = detections.index
    columns = zip(
        index.coco_image_ids[detections.images].tolist(),
        index.category_ids[detections.labels].tolist(),
        detections.boxes_xywh.tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    lines = [
        json.dumps({"image_id": image, "category_id": category, "bbox": box, "score": score})
        for image, category, box, score in columns
    ]
    write_whole(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode("ascii"))


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """Numbers as float64; text that looks like a number is none."""
    array = np.array(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"expected numbers, got {array.dtype}")
    return array.astype(np.float64)


def _check_ids(items: JsonItems, known: set[Any]) -> None:
    """Results need no `id`, but if they have one it has to be unique."""
    for row, item in enumerate(items.values):
        if isinstance(item, dict) and "id" in item:
            if item["id"] in known:
                raise InputError(f"{items.place(row)}: expected each id once, got {item['id']!r} again")
            known.add(item["id"])


def _field(items: JsonItems, key: str) -> Any:
    return lambda row: f"{key} {items.values[row][key]!r}"


def _first_fault(items: JsonItems) -> InputError:
    """What is wrong with the first item that is malformed."""
    for row, item in enumerate(items.values):
        try:
            for key in IDENTIFIERS:
                if not isinstance(item, dict) or type(item.get(key)) not in (int, str):
                    raise InputError(f"expected a field '{key}', got {_short(item)}")
            numbers = [*field_of(item, "bbox", list), item.get("score")]
            if len(numbers) != 5 or any(type(one) not in (int, float) for one in numbers):
                raise InputError(f"expected a bbox of four numbers and a score, got {_short(item)}")
        except InputError as error:
            return InputError(f"{items.place(row)}: {error}")
    return InputError(f"{items.place(0)}: expected numbers that fit 64 bits, here or in one of the next lines")


def _short(item: Any) -> str:
    text = json.dumps(item)
    return text if len(text) <= 120 else f"{text[:117]}..."
