"""Detections in the format of PASCAL VOC: a file a class, `comp4_det_SPLIT_CLASS.txt`, in one folder.

Lines are `image score xmin ymin xmax ymax`, with corners counted from 1 and inclusive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.datasets.files.text_file import read_lines
from detection.errors import InputError
from detection.formats.parts.checked_rows import check_known, check_rows
from detection.formats.parts.inclusive_corners import from_inclusive, to_inclusive
from detection.formats.parts.table_parts import TableParts
from detection.runtime.whole_file import number_text, write_whole
from detection.structures.split_columns import SplitDetections, SplitIndex

PREFIX = "comp4_det_"
FIELDS = "image score xmin ymin xmax ymax"


def read_voc_results(folder: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """The detections in the files of a folder, one for each class of the ground truth, which may be empty.

    Raises:
        InputError: naming the file and line, for a line of another form, an unknown image, or numbers as `check_rows`
            says; or naming the file, for a class that is missing or unknown.
    """
    stem = _find_stem(folder, index.class_names)
    rows = {name: row for row, name in enumerate(index.image_ids)}
    table = TableParts(index)
    for label, name in enumerate(index.class_names):
        places, names, values = _read_file(folder / f"{stem}{name}.txt")
        images = np.array([rows.get(one, -1) for one in names], np.int64)
        check_known(images, places.__getitem__, names.__getitem__, "an image of the ground truth")
        boxes_xywh = from_inclusive(values[:, 1:])
        check_rows(boxes_xywh, values[:, 0], places.__getitem__, any_score=any_score)
        table.add(images, np.full(len(images), label), boxes_xywh, values[:, 0])
    return table.join()


def write_voc_results(folder: Path, detections: SplitDetections, *, split: str) -> None:
    """Write a file for each class, into a folder that is made if need be.

    Raises:
        InputError: naming what cannot be written: a file, or a class or image whose name a file cannot have.
    """
    index = detections.index
    for name in index.class_names:
        if "/" in name or "\0" in name or name != name.strip():
            raise InputError(f"{folder}: expected names of classes that a file can have, got '{name}'")
    for name in index.image_ids:
        if name.split() != [name]:
            raise InputError(f"{folder}: expected names of images without spaces, got '{name}'")
    for label, name in enumerate(index.class_names):
        of_class = detections[detections.labels == label]
        columns = zip(
            of_class.images.tolist(), of_class.scores.tolist(), to_inclusive(of_class.boxes_xywh).tolist(), strict=True
        )
        lines = [
            f"{index.image_ids[image]} {score!r} {' '.join(map(number_text, corners))}\n"
            for image, score, corners in columns
        ]
        write_whole(folder / f"{PREFIX}{split}_{name}.txt", "".join(lines).encode("utf-8"))


def _find_stem(folder: Path, class_names: tuple[str, ...]) -> str:
    """What the names of the files have before that of the class."""
    if not class_names:
        raise InputError(f"{folder}: expected a ground truth with classes, got none")
    names = {path.name for path in folder.iterdir() if path.name.startswith("comp") and path.suffix == ".txt"}
    if not names:
        raise InputError(f"{folder}: expected files {PREFIX}SPLIT_CLASS.txt, got none")
    stems = sorted(
        {name.removesuffix(f"{one}.txt") for one in class_names for name in names if name.endswith(f"_{one}.txt")}
    )
    wanted = {stem: {f"{stem}{one}.txt" for one in class_names} for stem in stems}
    whole = [stem for stem in stems if wanted[stem] <= names]
    if len(whole) > 1:
        raise InputError(f"{folder}: expected the results of one split, got those of {' and '.join(whole)}")
    if not whole:
        best = max(stems, key=lambda stem: len(wanted[stem] & names), default=PREFIX + "SPLIT_")
        missing = sorted(wanted.get(best, {f"{best}{class_names[0]}.txt"}) - names)
        raise InputError(f"{folder / missing[0]}: expected a file for each of the {len(class_names)} classes, got none")
    unknown = sorted(names - wanted[whole[0]])
    if unknown:
        raise InputError(f"{folder / unknown[0]}: expected files of the classes of the ground truth, got another")
    return whole[0]


def _read_file(path: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Places and names of images [N], scores and corners [N, 5]."""
    places, names, values = [], [], []
    for number, line in enumerate(read_lines(path, expected=f"lines '{FIELDS}'"), start=1):
        if fields := line.split():
            places.append(f"{path}:{number}")
            names.append(fields[0])
            values.append(_numbers(fields, places[-1]))
    return places, names, np.array(values, np.float64).reshape(-1, 5)


def _numbers(fields: list[str], place: str) -> list[float]:
    if len(fields) == 6:
        try:
            return [float(field) for field in fields[1:]]
        except ValueError:
            pass
    raise InputError(f"{place}: expected '{FIELDS}', got '{' '.join(fields)[:80]}'")
