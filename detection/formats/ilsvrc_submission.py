"""Detections in the format of submissions to ILSVRC: lines `image_index det_id score xmin ymin xmax ymax`.

`image_index` is the number of the image in the list of the split, `det_id` the number of the class, from 1 on.
`parts.text_rows` describes the corners.
"""

from pathlib import Path

import numpy as np

from detection.formats.parts.checked_rows import check_rows, find_positions, positions
from detection.formats.parts.text_rows import format_rows, from_inclusive, read_rows
from detection.runtime.atomic_write import write_atomically
from detection.structures.split_columns import SplitDetections, SplitIndex

FIELDS = "image_index det_id score xmin ymin xmax ymax"
COLUMNS = np.dtype([("image", float), ("class", float), ("score", float), ("corners", float, (4,))])


def read_ilsvrc_submission(path: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """Read the detections in a file.

    Raises:
        InputError: naming the file and line, for a line that is not seven numbers, an image or class that the split
            does not have, or numbers that `check_rows` rejects; naming the file, if it is missing.
    """
    rows, place = read_rows(path, COLUMNS, fields=FIELDS)
    numbers = positions(index.list_numbers.tolist())
    expected = "the number of an image in the list of the split"
    images = find_positions(rows["image"].tolist(), numbers, place, expected=expected)
    classes = positions(range(1, len(index.class_names) + 1))
    expected = f"a class from 1 to {len(classes)}"
    labels = find_positions(rows["class"].tolist(), classes, place, expected=expected)
    boxes_xywh = from_inclusive(rows["corners"])
    check_rows(boxes_xywh, rows["score"], place, any_score=any_score)
    return SplitDetections(index, images, labels, boxes_xywh, rows["score"].copy())


def write_ilsvrc_submission(path: Path, detections: SplitDetections) -> None:
    """Write detections as a submission.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    numbers = detections.index.list_numbers[detections.images].tolist()
    names = (f"{number} {label + 1}" for number, label in zip(numbers, detections.labels.tolist(), strict=True))
    write_atomically(path, format_rows(names, detections))
