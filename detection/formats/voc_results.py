"""Detections in the format of PASCAL VOC: one file for each class, `comp4_det_SPLIT_CLASS.txt`, in one folder.

Lines are `image score xmin ymin xmax ymax`; `parts.text_rows` describes the corners.
"""

from pathlib import Path

import numpy as np

from detection.errors import InputError
from detection.formats.parts.checked_rows import check_rows, find_positions, join_rows, positions
from detection.formats.parts.text_rows import format_rows, from_inclusive, read_rows
from detection.runtime.atomic_write import write_atomically
from detection.structures.split_columns import SplitDetections, SplitIndex

PREFIX = "comp4_det_"
FIELDS = "image score xmin ymin xmax ymax"
COLUMNS = np.dtype([("image", object), ("score", float), ("corners", float, (4,))])


def read_voc_results(folder: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """Read the detections in the files of a folder. There is one file for each class, which may be empty.

    Raises:
        InputError: naming the file and line, for a line of another form, an unknown image, or numbers that
            `check_rows` rejects; naming the file, for a class that is missing or unknown.
    """
    stem = _find_stem(folder, index.class_names)
    known = positions(index.image_ids)
    parts = []
    for label, name in enumerate(index.class_names):
        rows, place = read_rows(folder / f"{stem}{name}.txt", COLUMNS, fields=FIELDS)
        images = find_positions(rows["image"].tolist(), known, place, expected="an image of the ground truth")
        boxes_xywh = from_inclusive(rows["corners"])
        check_rows(boxes_xywh, rows["score"], place, any_score=any_score)
        parts.append((images, np.full(len(rows), label), boxes_xywh, rows["score"]))
    return join_rows(index, parts)


def write_voc_results(folder: Path, detections: SplitDetections, *, split: str) -> None:
    """Write one file for each class; the folder is made if it does not exist.

    Raises:
        InputError: naming what cannot be written: a file, or a class or image whose name the format does not allow.
    """
    index = detections.index
    for name in index.class_names:
        if "/" in name or "\0" in name or name != name.strip():
            raise InputError(f"{folder}: expected names of classes that a file can have, got '{name}'")
    for name in index.image_ids:
        if name.split() != [name]:
            raise InputError(f"{folder}: expected names of images without spaces, got '{name}'")
    for label, name in enumerate(index.class_names):
        class_detections = detections[detections.labels == label]
        image_ids = (index.image_ids[image] for image in class_detections.images.tolist())
        write_atomically(folder / f"{PREFIX}{split}_{name}.txt", format_rows(image_ids, class_detections))


def _find_stem(folder: Path, class_names: tuple[str, ...]) -> str:
    """Return the part of the file names that stands before the name of the class."""
    if not class_names:
        raise InputError(f"{folder}: expected a ground truth with classes, got none")
    names = {path.name for path in folder.iterdir() if path.name.startswith("comp") and path.suffix == ".txt"}
    if not names:
        raise InputError(f"{folder}: expected files {PREFIX}SPLIT_CLASS.txt, got none")
    endings = [f"_{class_name}.txt" for class_name in class_names]
    stems = sorted({name[: 1 - len(ending)] for ending in endings for name in names if name.endswith(ending)})
    wanted = {stem: {f"{stem}{class_name}.txt" for class_name in class_names} for stem in stems}
    complete = [stem for stem in stems if wanted[stem] <= names]
    if len(complete) > 1:
        raise InputError(f"{folder}: expected the results of one split, got those of {' and '.join(complete)}")
    if not complete:
        best = max(stems, key=lambda stem: len(wanted[stem] & names), default=PREFIX + "SPLIT_")
        missing = sorted(wanted.get(best, {f"{best}{class_names[0]}.txt"}) - names)
        raise InputError(f"{folder / missing[0]}: expected a file for each of the {len(class_names)} classes, got none")
    unknown = sorted(names - wanted[complete[0]])
    if unknown:
        raise InputError(f"{folder / unknown[0]}: expected files of the classes of the ground truth, got another")
    return complete[0]
