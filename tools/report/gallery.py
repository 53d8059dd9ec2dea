"""The pictures on the page of a report: small versions of the best and worst images, with objects and detections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.errors import InputError
from detection.evaluation import DetectionMetrics
from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detection.formats.web_page.page import picture_uri
from detection.image import read_image
from detection.sources.files import IMAGE_SUFFIXES
from detection.structures.arrays import Float64Array, Image, IntArray
from detection.structures.split_columns import SplitIndex

FindImage = Callable[[str], Path | None]
"""Returns the file of an image, given its id; None if the boxes are to be drawn on a blank canvas."""

MAX_DETECTIONS = 200
"""The number of detections with the highest scores that are kept of each image."""

OUTCOMES = {FALSE_POSITIVE: "wrong", TRUE_POSITIVE: "right", IGNORED: "ignored"}


class Gallery(NamedTuple):
    """Pictures for JSON by image id, and a warning for each picture that could not be read."""

    pictures: dict[str, dict[str, Any]]
    warnings: list[str]


def build_gallery(metrics: DetectionMetrics, report: dict[str, Any], find_image: FindImage) -> Gallery:
    """Return the pictures of the report's `best_images` and `worst_images`.

    Boxes are x, y, width and height in pixels of the original image. Each detection names the object that it took: as
    detections with higher scores choose first, this is the same for every score threshold.
    """
    names = dict.fromkeys(item["image_id"] for key in ("best_images", "worst_images") for item in report.get(key, ()))
    rows = {name: row for row, name in enumerate(metrics.objects.index.image_ids)}
    pictures: dict[str, dict[str, Any]] = {}
    warnings = []
    for name in names:
        row = rows[name]
        try:
            image = _read_image(find_image(name), metrics.objects.index.sizes[row])
        except InputError as error:
            image = None
            warnings.append(error.line)
        drawn: dict[str, Any] = {"size": _size(metrics, row), "picture": None}
        if image is not None:
            drawn = {"size": image.shape[:2], "picture": picture_uri(image)}
        pictures[name] = drawn | _boxes(metrics, row)
    return Gallery(pictures, warnings)


def image_finder(folder: str | None, index: SplitIndex) -> FindImage:
    """Return a function that finds images in a folder by their file name in the ground truth, or else by their id.

    Without a folder the function returns None.
    """
    if folder is None:
        return lambda _: None
    names = dict(zip(index.image_ids, index.file_names, strict=True))

    def find(image_id: str) -> Path:
        name = names[image_id]
        suffixes = [spelling for suffix in IMAGE_SUFFIXES for spelling in (suffix, suffix.upper())]
        candidates = [name, Path(name).name] if name else [f"{image_id}{suffix}" for suffix in suffixes]
        paths = [Path(folder, candidate) for candidate in candidates]
        return next((path for path in paths if path.is_file()), paths[0])

    return find


def _boxes(metrics: DetectionMetrics, row: int) -> dict[str, Any]:
    """Return the objects and the detections of the image at this position; detections best first."""
    objects, detections, matches = metrics.objects, metrics.detections, metrics.matches
    names = objects.index.class_names
    object_rows = np.flatnonzero(objects.images == row).tolist()
    places = {object_row: place for place, object_row in enumerate(object_rows)}
    ranked = matches.order[detections.images[matches.order] == row][:MAX_DETECTIONS].tolist()
    return {
        "objects": [
            {"box": _rounded(objects.boxes_xywh[item]), "class": names[objects.labels[item]]}
            | {"ignored": bool(objects.ignored[item])}
            for item in object_rows
        ],
        "detections": [
            {"box": _rounded(detections.boxes_xywh[item]), "class": names[detections.labels[item]]}
            | {"score": float(detections.scores[item]), "outcome": OUTCOMES[int(matches.outcomes[item])]}
            | {"object": places.get(int(matches.objects[item]))}
            for item in ranked
        ],
    }


def _rounded(box: Float64Array) -> list[float]:
    return [round(side, 1) for side in box.tolist()]


def _size(metrics: DetectionMetrics, row: int) -> tuple[int, int]:
    """Return the height and width of an image from the ground truth; where unknown, large enough for all its boxes."""
    height, width = metrics.objects.index.sizes[row].tolist()
    if height and width:
        return height, width
    all_boxes = [boxes.boxes[boxes.images == row] for boxes in (metrics.objects, metrics.detections)]
    right, bottom = np.ceil(np.concatenate([np.ones((1, 4)), *all_boxes])[:, 2:].max(axis=0)).astype(int).tolist()
    return bottom, right


def _read_image(path: Path | None, size: IntArray) -> Image | None:
    """Return the image in a file, or None if `path` is None.

    Args:
        path: the file.
        size: height and width of the image from the ground truth, [2]; 0 where unknown.

    Raises:
        InputError: naming the file, if it cannot be read, or has another size, so that the boxes would not fit.
    """
    if path is None:
        return None
    image = read_image(path)
    if size.all() and image.shape[:2] != tuple(size):
        raise InputError(
            f"{path}: expected an image of {size[1]} x {size[0]} pixels as in the ground truth, got "
            f"{image.shape[1]} x {image.shape[0]}"
        )
    return image
