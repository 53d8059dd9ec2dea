"""The pictures of a report's page: the best and worst images, small, with what was found in them and what was not."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from detection.errors import InputError
from detection.evaluation import DetectionMetrics
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches
from detection.image import IMAGE_SUFFIXES, read_image
from detection.structures.arrays import Image, IntArray
from detection.structures.split_columns import Columns, SplitIndex

FindImage = Callable[[str], Path | None]
"""From an image id to its file; None where the boxes go onto a blank canvas."""

LONGEST_SIDE = 480
"""Pixels of an embedded picture."""
JPEG_QUALITY = 80
MOST_DETECTIONS = 200
"""Of an image, so many are kept, the best scored."""

OUTCOMES = {FALSE_POSITIVE: "wrong", TRUE_POSITIVE: "right", IGNORED: "ignored"}


class Gallery(NamedTuple):
    """Pictures by image id, as JSON has them, and a line for each that is missing."""

    pictures: dict[str, dict[str, Any]]
    warnings: list[str]


def build_gallery(metrics: DetectionMetrics, report: dict[str, Any], find_image: FindImage) -> Gallery:
    """The pictures of the report's `best_images` and `worst_images`.

    Boxes are x, y, width, height in pixels of the original image. A detection says which of the image's objects it
    took: as the best scored choose first, this holds whatever the score threshold.
    """
    names = dict.fromkeys(one["image_id"] for key in ("best_images", "worst_images") for one in report.get(key, ()))
    matches = metrics.matches
    rows = {name: row for row, name in enumerate(metrics.objects.index.image_ids)}
    pictures = {}
    warnings = []
    for name in names:
        try:
            image = _read(find_image(name), metrics.objects.index.sizes[rows[name]])
        except InputError as error:
            image = None
            warnings.append(error.line)
        size = _size(metrics, rows[name]) if image is None else image.shape[:2]
        picture = None if image is None else _data_uri(image)
        pictures[name] = {"size": size, "picture": picture} | _boxes(metrics, matches, rows[name])
    return Gallery(pictures, warnings)


def image_finder(folder: str | None, index: SplitIndex) -> FindImage:
    """Finds images in a folder by the names that the ground truth has for them, else by their ids; none without it."""
    if folder is None:
        return lambda _: None
    names = dict(zip(index.image_ids, index.file_names, strict=True))

    def find(image_id: str) -> Path:
        name = names[image_id]
        suffixes = [form for suffix in IMAGE_SUFFIXES for form in (suffix, suffix.upper())]
        candidates = [name, Path(name).name] if name else [f"{image_id}{suffix}" for suffix in suffixes]
        paths = [Path(folder, candidate) for candidate in candidates]
        return next((path for path in paths if path.is_file()), paths[0])

    return find


def _boxes(metrics: DetectionMetrics, matches: Matches, row: int) -> dict[str, Any]:
    """The objects and detections of an image, the latter best first."""
    objects, detections = metrics.objects, metrics.detections
    names = objects.index.class_names
    here = np.flatnonzero(objects.images == row)
    places = {int(one): place for place, one in enumerate(here)}
    found = matches.order[detections.images[matches.order] == row][:MOST_DETECTIONS]
    return {
        "objects": [
            {"box": _rounded(objects.boxes_xywh[one]), "class": names[objects.labels[one]]}
            | {"ignored": bool(objects.ignored[one])}
            for one in here
        ],
        "detections": [
            {"box": _rounded(detections.boxes_xywh[one]), "class": names[detections.labels[one]]}
            | {"score": float(detections.scores[one]), "outcome": OUTCOMES[int(matches.outcomes[one])]}
            | {"object": places.get(int(matches.objects[one]))}
            for one in found
        ],
    }


def _rounded(box: Columns) -> list[float]:
    return [round(side, 1) for side in box.tolist()]


def _size(metrics: DetectionMetrics, row: int) -> tuple[int, int]:
    """(height, width) of an image as the ground truth states it, else of what its boxes take up."""
    height, width = metrics.objects.index.sizes[row].tolist()
    if height and width:
        return height, width
    tables = (metrics.objects, metrics.detections)
    corners = np.concatenate([np.ones((1, 4)), *(table.boxes[table.images == row] for table in tables)])
    right, bottom = np.ceil(corners[:, 2:].max(axis=0)).astype(int).tolist()
    return bottom, right


def _read(path: Path | None, size: IntArray) -> Image | None:
    """The image that a file holds; `size` [2] is its height and width by the ground truth, 0 where unknown.

    Raises:
        InputError: naming the file, if it cannot be read, or is of another size, so that the boxes would not fit.
    """
    if path is None:
        return None
    image = read_image(path)
    if size.all() and image.shape[:2] != tuple(size):
        raise InputError(
            f"{path}: expected an image of {size[1]} x {size[0]} pixels, as the ground truth has it, got "
            f"{image.shape[1]} x {image.shape[0]}"
        )
    return image


def _data_uri(image: Image) -> str:
    """The image as a small JPEG."""
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
