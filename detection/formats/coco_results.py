"""Detections in the format of COCO's results: a JSON list of `image_id`, `category_id`, `bbox` and `score`.

`read_plain_coco_results` is fast, and reads nearly all files. `read_coco_results` reads the others, and says which line
of a file is wrong.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from detection.datasets.files.coco_json import field_of, is_number
from detection.datasets.files.faults import Faults
from detection.errors import InputError, short_repr
from detection.formats.parts.checked_rows import Rows, check_rows, find_numbers, find_positions, join_rows, positions
from detection.formats.parts.json_list import JsonItems, short_json, write_json_list
from detection.structures.split_columns import SplitDetections, SplitIndex, to_records

IDENTIFIERS = ("image_id", "category_id")


def read_coco_results(batches: Iterable[JsonItems], index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """Read the detections among the items of a file. `image_id` may also be the name of an image in the data set.

    Raises:
        InputError: naming the file and line, for an unknown image or category, an `id` that occurs twice, or numbers
            that `check_rows` rejects.
    """
    images = positions(index.image_ids) | positions(index.coco_image_ids.tolist())
    categories = positions(index.category_ids.tolist())
    known_ids: set[Any] = set()
    parts = []
    for items in batches:
        _check_items(items, known_ids)
        names, numbers = ([item[key] for item in items.values] for key in IDENTIFIERS)
        rows = find_positions(names, images, items.place, expected="an image_id of the ground truth")
        labels = find_positions(numbers, categories, items.place, expected="a category_id of the ground truth")
        boxes_xywh = np.array([item["bbox"] for item in items.values], np.float64)
        scores = np.array([item["score"] for item in items.values], np.float64)
        check_rows(boxes_xywh, scores, items.place, any_score=any_score)
        parts.append((rows, labels, boxes_xywh, scores))
    return join_rows(index, parts)


def read_plain_coco_results(path: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections | None:
    """Read the detections in a file of results as most programs write them.

    Returns:
        The detections, as `read_coco_results` reads them. None if anything is wrong or unusual, such as names in place
        of identifiers, another encoding than UTF-8, or `NaN`.
    """
    from detection.formats.parts.plain_results import read_columns  # noqa: PLC0415  only here its parser is needed

    columns = read_columns(path)
    if columns is None:
        return None
    try:
        return join_rows(index, [_find_and_check(columns, index, any_score=any_score)])
    except InputError:  # `read_coco_results` names the line
        return None


def _find_and_check(columns: Rows, index: SplitIndex, *, any_score: bool) -> Rows:
    image_ids, category_ids, boxes_xywh, scores = columns
    images = find_numbers(image_ids, index.coco_image_ids)
    labels = find_numbers(category_ids, index.category_ids)
    check_rows(boxes_xywh, scores, str, any_score=any_score)
    return images, labels, boxes_xywh, scores


def write_coco_results(path: Path, detections: SplitDetections) -> None:
    """Write detections as COCO's results.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    index = detections.index
    columns = {
        "image_id": index.coco_image_ids[detections.images],
        "category_id": index.category_ids[detections.labels],
        "bbox": detections.boxes_xywh,
        "score": detections.scores,
    }
    write_json_list(path, to_records(columns))


def _check_items(items: JsonItems, known_ids: set[Any]) -> None:
    position = 0
    with Faults().at(lambda: items.place(position)):
        for position, item in enumerate(items.values):  # noqa: B007  the function above uses it
            _check_item(item, known_ids)


def _check_item(item: Any, known_ids: set[Any]) -> None:
    for key in IDENTIFIERS:
        if not isinstance(item, dict) or type(item.get(key)) not in (int, float, str):
            raise InputError(f"expected a field '{key}', got {short_json(item)}")
    numbers = [*field_of(item, "bbox", list), item.get("score")]
    if len(numbers) != 5 or not all(map(is_number, numbers)):
        raise InputError(f"expected a bbox of four numbers and a score, got {short_json(item)}")
    if "id" in item:  # results need no `id`, but an `id` must be unique
        if type(item["id"]) not in (int, float, str):
            raise InputError(f"expected a number or text as id, got {short_json(item)}")
        if item["id"] in known_ids:
            raise InputError(f"expected each id once, got {short_repr(item['id'])} again")
        known_ids.add(item["id"])
