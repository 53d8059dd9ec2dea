"""Detections as the command `detect --json` writes them: a list of images, each with its `detections`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from detection.errors import InputError
from detection.formats.parts.checked_rows import check_known, check_rows
from detection.formats.parts.json_list import JsonItems
from detection.formats.parts.table_parts import TableParts
from detection.runtime.whole_file import write_whole
from detection.structures.split_columns import SplitDetections, SplitIndex, corners_to_xywh

_AMBIGUOUS = -2


def read_detect_json(parts: Iterable[JsonItems], index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """The detections among the items of a file.

    `image` may be an image's name in the data set, its file, or the name of its file with or without the suffix.
    The `class` of a detection counts, not its `label`.

    Raises:
        InputError: naming the file and line, for an unknown or ambiguous image, one that is there twice or was not
            read, an unknown class, or numbers as `check_rows` says.
    """
    rows = _image_rows(index)
    labels = {name: label for label, name in enumerate(index.class_names)}
    table = TableParts(index)
    seen: set[int] = set()
    for items in parts:
        for position, item in enumerate(items.values):
            place = items.place(position)
            row = _find_image(item, rows, place)
            if row in seen:
                raise InputError(f"{place}: expected each image once, got '{item['image']}' again")
            seen.add(row)
            _add(table, row, item, labels, place, any_score=any_score)
    missing = [name for row, name in enumerate(index.image_ids) if row not in seen]
    if missing and seen:
        raise InputError(
            f"{items.path}: expected a record of all {len(index.image_ids)} images of the ground truth, got "
            f"{len(seen)}; the first without is '{missing[0]}'"
        )
    return table.join()


def write_detect_json(path: Path, detections: SplitDetections) -> None:
    """Write a record of each image of the split, also of those without detections.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    index = detections.index
    records: list[dict[str, Any]] = [
        {"image": file_name or name, "width": width, "height": height, "detections": []}
        for name, file_name, (height, width) in zip(
            index.image_ids, index.file_names, index.sizes.tolist(), strict=True
        )
    ]
    columns = zip(
        detections.images.tolist(),
        detections.labels.tolist(),
        detections.scores.tolist(),
        detections.boxes.tolist(),
        strict=True,
    )
    for image, label, score, box in columns:
        one = {"class": index.class_names[label], "label": label, "score": score, "box": box}
        records[image]["detections"].append(one)
    write_whole(path, ("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n").encode("ascii"))


def _add(
    table: TableParts, row: int, item: dict[str, Any], labels: dict[str, int], place: str, *, any_score: bool
) -> None:
    found = item.get("detections")
    if not isinstance(found, list):
        reason = f"the image was not read: {item['error']}" if "error" in item else f"got {found!r}"
        raise InputError(f"{place}: expected a list 'detections', {reason}")
    if not found:
        return

    def place_of(position: int) -> str:
        return f"{place}: detections[{position}]"

    for position, one in enumerate(found):
        if not _is_detection(one):
            stated = json.dumps(one)[:120]
            raise InputError(f"{place_of(position)}: expected a class, a score and a box of four numbers, got {stated}")
    names = [one["class"] for one in found]
    of_classes = np.array([labels.get(name, -1) for name in names], np.int64)
    check_known(of_classes, place_of, lambda position: f"'{names[position]}'", "a class of the ground truth")
    boxes_xywh = corners_to_xywh([one["box"] for one in found])
    scores = np.array([one["score"] for one in found], np.float64)
    check_rows(boxes_xywh, scores, place_of, any_score=any_score)
    table.add(np.full(len(found), row), of_classes, boxes_xywh, scores)


def _is_detection(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("class"), str) or not isinstance(one.get("box"), list):
        return False
    return len(one["box"]) == 4 and all(type(number) in (int, float) for number in (*one["box"], one.get("score")))


def _find_image(item: Any, rows: dict[str, int], place: str) -> int:
    name = item.get("image") if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{place}: expected a field 'image' with the name of an image, got {json.dumps(item)[:120]}")
    file = PurePath(name)
    row = next((rows[key] for key in (name, file.name, file.stem) if key in rows), None)
    if row is None:
        raise InputError(f"{place}: expected an image of the ground truth, got '{name}'")
    if row == _AMBIGUOUS:
        raise InputError(f"{place}: expected the name of one image of the ground truth, got '{name}', that of several")
    return row


def _image_rows(index: SplitIndex) -> dict[str, int]:
    """Images by every name; one that several share stands for none of them, unless it is the whole name of one."""
    rows: dict[str, int] = {}
    shorter: dict[str, int] = {}
    for row, (image_id, file_name) in enumerate(zip(index.image_ids, index.file_names, strict=True)):
        rows[image_id] = row
        for name in {PurePath(file_name).name, PurePath(file_name).stem} - {""}:
            shorter[name] = row if shorter.get(name, row) == row else _AMBIGUOUS
    whole = {name: row for row, name in enumerate(index.file_names) if name}
    return shorter | whole | rows
