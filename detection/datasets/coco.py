"""COCO: photos with many objects, and one JSON file for each split."""

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files import coco_json
from detection.datasets.files.annotated_objects import AnnotatedObject, Corners, check_box, object_arrays
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import files_of_splits
from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth

logger = logging.getLogger(__name__)


class _Image(NamedTuple):
    place: str
    name: str
    size: tuple[int, int]
    objects: list[AnnotatedObject]


class COCO(DataSet):
    """Reader of the JSON files for COCO's object detection.

    Labels have the order of the category identifiers, which have gaps. Boxes that extend beyond the image by a fraction
    of a pixel are clipped. Objects with the flag `iscrowd` are `ignored`, and so are boxes with a width or height of
    exactly 0, of which the official train2017 has two. Segmentations are not read.

    A category that is only the `supercategory` of others, and has no objects in any split, is no class: it is left out,
    and a warning is logged. Exports of Roboflow have such a root.

    Args:
        root: the folder of the data set.
        annotations: the JSON file in this folder; `{split}` is replaced by the name of the split.
        images: the folder of the images in this folder; `{split}` is replaced likewise.

    Raises:
        InputError: if there is no such JSON file, or its categories are malformed.
    """

    scoring_rule = "coco"

    def __init__(
        self, root: str | Path, annotations: str = "annotations/instances_{split}.json", images: str = "{split}"
    ) -> None:
        self.root = Path(root)
        self.annotations = annotations
        self.images = images
        files = files_of_splits(self.root / annotations, expected="a json file in the format of COCO")
        # All splits have the same categories, which `entries` checks, so they are read from the smallest file.
        self._source = min(files, key=os.path.getsize)
        content = coco_json.load_json(self._source)
        self.left_out = _find_left_out(coco_json.read_parents(content, self._source), files, self.root)
        self._categories = coco_json.read_categories(content, self._source, self.left_out)
        self.class_names = tuple(self._categories.values())

    @property
    def category_ids(self) -> tuple[int, ...]:
        return tuple(self._categories)

    def annotation_file(self, split: str) -> Path:
        """Return the JSON file of a split."""
        return self.root / self.annotations.replace("{split}", split)

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        path = self.annotation_file(split)
        content = coco_json.load_json(path)
        if coco_json.read_categories(content, path, self.left_out) != self._categories:
            raise InputError(f"{path}: expected the categories of {self._source}, got others")
        images = _read_images(content, path, faults)
        self._read_objects(content, path, images, faults)
        for image_id, image in images.items():
            record = GroundTruth(str(image_id), self.image_path(split, image.name), *object_arrays(image.objects))
            yield Entry(image.place, record, image.size)

    def image_path(self, split: str, name: str) -> Path:
        """Return the path of the image that the file of a split calls by this name."""
        return self.root / self.images.replace("{split}", split) / name

    def _read_objects(self, content: coco_json.Record, path: Path, images: dict[int, _Image], faults: Faults) -> None:
        """Read the annotations, and add the objects to their images."""
        labels = {category: label for label, category in enumerate(self._categories)}
        known: set[int] = set()
        for index, item in enumerate(coco_json.list_of(content, "annotations", path)):
            with faults.at(partial(coco_json.place_of, path, "annotations", index, item)):
                annotation_id = coco_json.field_of(item, "id", int)
                coco_json.check_new(annotation_id, known, "annotation")
                known.add(annotation_id)
                image_id, label = coco_json.read_references(item, images, labels)
                box, empty = _box(item, images[image_id].size)
                ignored = coco_json.read_flag(item, "iscrowd") or empty
                images[image_id].objects.append(AnnotatedObject(box, label, ignored))


def _find_left_out(parents: dict[int, str], files: list[Path], root: Path) -> frozenset[int]:
    """Return the identifiers of those parents of other categories that have no objects in any file, and log them."""
    unused = set(parents)
    for file in files if parents else ():
        unused -= coco_json.read_used_categories(coco_json.load_json(file))
    for number in sorted(unused):
        reason = "which is only the supercategory of others and has no objects"
        logger.warning(f"{root}: left out the category '{parents[number]}' (id {number}), {reason}")
    return frozenset(unused)


def _read_images(content: coco_json.Record, path: Path, faults: Faults) -> dict[int, _Image]:
    """Return the images by their identifiers, without their objects, which are added later."""
    images: dict[int, _Image] = {}
    for index, item in enumerate(coco_json.list_of(content, "images", path)):
        place = coco_json.place_of(path, "images", index, item)
        with faults.at(place):
            image_id = coco_json.field_of(item, "id", int)
            coco_json.check_new(image_id, images, "image")
            images[image_id] = _Image(place, coco_json.field_of(item, "file_name", str), coco_json.read_size(item), [])
    return images


def _box(item: coco_json.Record, size: tuple[int, int]) -> tuple[Corners, bool]:
    """Return the corners of a box, clipped to the image, and True if the box is empty."""
    x, y, width, height = numbers = coco_json.read_box(item)
    stated = f"x, y, width, height {numbers}"
    if 0 in (width, height):
        # The position must still make sense: it is checked with a box of one pixel, which may lie on the border.
        check_box((x - 0.5, y - 0.5, x + width + 0.5, y + height + 0.5), size, stated=stated)
        return (x, y, x + width, y + height), True
    return check_box((x, y, x + width, y + height), size, stated=stated), False
