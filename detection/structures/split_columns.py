"""The objects and the detections of a whole split, with one array for each of their properties.

Scoring and the file formats work on these arrays: row i of every array belongs to the same object or detection.
`SplitIndex` lists the images and classes of the split, to which the rows refer by position. `SplitObjects` and
`SplitDetections` are made from single images by `split_objects` and `split_detections`, or by the readers in
`detection.formats`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detection.structures.arrays import BoolArray, Float64Array, IntArray
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth


@dataclass(frozen=True, eq=False)
class SplitIndex:
    """The I images and C classes of a split, with all names and numbers that files use for them.

    Args:
        image_ids: the names of the images in the data set.
        class_names: the names of the classes.
        file_names: the names of the image files, "" where unknown.
        sizes: height and width of the images, int64 [I, 2], 0 where unknown.
        list_numbers: the numbers of the images in a list of ILSVRC, int64 [I].
        coco_image_ids: the identifiers of the images in files of COCO, int64 [I].
        category_ids: the identifiers of the classes in files of COCO, int64 [C].

    Raises:
        ValueError: if an image, number or class occurs twice, or an argument has the wrong length. `split_index` fills
            in arguments that are left out.
    """

    image_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    file_names: tuple[str, ...]
    sizes: IntArray
    list_numbers: IntArray
    coco_image_ids: IntArray
    category_ids: IntArray

    def __post_init__(self) -> None:
        images, classes = len(self.image_ids), len(self.class_names)
        for name in ("image_ids", "class_names"):
            _check_unique(name, getattr(self, name))
        for name, length in (("list_numbers", images), ("coco_image_ids", images), ("category_ids", classes)):
            _check_shape(name, getattr(self, name), (length,))
            _check_unique(name, getattr(self, name).tolist())
        _check_shape("sizes", self.sizes, (images, 2))
        _check_shape("file_names", np.asarray(self.file_names, object), (images,))

    def same_as(self, other: SplitIndex) -> bool:
        """Return True if the other index has the same images and classes in the same order."""
        return self is other or (self.image_ids, self.class_names) == (other.image_ids, other.class_names)


def split_index(
    image_ids: Sequence[str],
    class_names: Sequence[str],
    *,
    file_names: Sequence[str] | None = None,
    sizes: Sequence[tuple[int, int] | None] | None = None,
    list_numbers: Sequence[int] | None = None,
    coco_image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
) -> SplitIndex:
    """Return the index of a split of which only the images and classes need to be known.

    Images and classes are numbered from 1 in their order. If all image ids are whole numbers, such as "000012", these
    are also the identifiers in files of COCO.
    """
    positions = np.arange(1, len(image_ids) + 1)
    return SplitIndex(
        image_ids=tuple(image_ids),
        class_names=tuple(class_names),
        file_names=tuple(file_names if file_names is not None else [""] * len(image_ids)),
        sizes=np.array([size or (0, 0) for size in sizes or [None] * len(image_ids)], np.int64).reshape(-1, 2),
        list_numbers=positions if list_numbers is None else np.array(list_numbers, np.int64),
        coco_image_ids=_coco_ids(image_ids) if coco_image_ids is None else np.array(coco_image_ids, np.int64),
        category_ids=np.array(range(1, len(class_names) + 1) if category_ids is None else category_ids, np.int64),
    )


def _coco_ids(image_ids: Sequence[str]) -> IntArray:
    numbers = [int(name) for name in image_ids if name.isascii() and name.isdecimal() and len(name) < 19]
    return np.array(numbers if len(set(numbers)) == len(image_ids) else range(1, len(image_ids) + 1), np.int64)


@dataclass(frozen=True, eq=False)
class SplitBoxes:
    """N boxes of the images of a split, each with a class; the base of `SplitObjects` and `SplitDetections`.

    Indexing with a mask or with positions returns an object of the same type with these rows.

    Args:
        index: the images and classes.
        images: the position of the image of each box in the index, int64 [N].
        labels: the position of its class, int64 [N].
        boxes_xywh: x, y, width and height in pixels, as exact as in the file, float64 [N, 4]. Corners would be rounded.

    Raises:
        ValueError: if an array has the wrong shape, or a position lies outside the index.
    """

    index: SplitIndex
    images: IntArray
    labels: IntArray
    boxes_xywh: Float64Array

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            _check_shape(name, column, (len(self), 4) if name == "boxes_xywh" else (len(self),))
        for name, length in (("images", len(self.index.image_ids)), ("labels", len(self.index.class_names))):
            column = getattr(self, name)
            if len(self) and not 0 <= column.min() <= column.max() < length:
                raise ValueError(
                    f"{name} must be positions in the {length} of the index, got {column.min()}-{column.max()}"
                )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: BoolArray | IntArray) -> Self:
        columns: dict[str, Any] = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **columns)

    @property
    def boxes(self) -> Float64Array:
        """The corners x1, y1, x2, y2 of the boxes: [N, 4], half-open."""
        return xywh_to_corners(self.boxes_xywh)

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "index"}


@dataclass(frozen=True, eq=False)
class SplitObjects(SplitBoxes):
    """The M annotated objects of a split.

    Args:
        ignored: objects that count neither as found nor as missed, as in `GroundTruth`, bool [M].
        crowd: objects with COCO's flag `iscrowd`, bool [M].
        areas: the areas by which COCO sorts objects into sizes, float64 [M]; of the outline where the file has one.
    """

    ignored: BoolArray
    crowd: BoolArray
    areas: Float64Array


@dataclass(frozen=True, eq=False)
class SplitDetections(SplitBoxes):
    """The N detections of a split, in the order of their file.

    Args:
        scores: float64 [N]; metrics only depend on their order.
    """

    scores: Float64Array


def split_objects(index: SplitIndex, records: Sequence[GroundTruth]) -> SplitObjects:
    """Return the objects of records that are in the order of the index; ignored objects count as crowds of COCO."""
    boxes = corners_to_xywh(np.concatenate([np.zeros((0, 4)), *(record.boxes for record in records)]))
    ignored = np.concatenate([np.zeros(0, np.bool_), *(record.ignored for record in records)])
    return SplitObjects(
        index=index,
        images=np.repeat(np.arange(len(records)), [len(record) for record in records]),
        labels=np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)]),
        boxes_xywh=boxes,
        ignored=ignored,
        crowd=ignored,
        areas=boxes[:, 2] * boxes[:, 3],
    )


def split_detections(index: SplitIndex, detections: Mapping[str, Detections]) -> SplitDetections:
    """Return the detections of images, given by image id, in the order of the index; images may be missing."""
    rows = [row for row, name in enumerate(index.image_ids) if name in detections]
    images = [detections[index.image_ids[row]] for row in rows]
    return SplitDetections(
        index=index,
        images=np.repeat(rows, [len(image) for image in images]).astype(np.int64),
        labels=np.concatenate([np.zeros(0, np.int64), *(image.labels for image in images)]),
        boxes_xywh=corners_to_xywh(np.concatenate([np.zeros((0, 4)), *(image.boxes for image in images)])),
        scores=np.concatenate([np.zeros(0), *(image.scores for image in images)]).astype(np.float64),
    )


def select_images(objects: SplitObjects, rows: IntArray) -> SplitObjects:
    """Return a split of only the images at positions `rows` [K] of the index, in that order."""
    index = objects.index
    selected = replace(
        index,
        image_ids=tuple(index.image_ids[row] for row in rows),
        file_names=tuple(index.file_names[row] for row in rows),
        **{name: getattr(index, name)[rows] for name in ("sizes", "list_numbers", "coco_image_ids")},
    )
    new_rows = np.full(len(index.image_ids), -1)
    new_rows[rows] = np.arange(len(rows))
    kept = objects[new_rows[objects.images] >= 0]
    return replace(kept, index=selected, images=new_rows[kept.images])


def drop_blacklisted(
    objects: SplitObjects, detections: SplitDetections, blacklist: Mapping[str, Collection[int]]
) -> tuple[SplitObjects, SplitDetections]:
    """Return the objects and detections without those of blacklisted classes.

    `blacklist` gives for an image id the labels that are not scored in this image.
    """
    classes = len(objects.index.class_names)
    pairs = [
        row * classes + label
        for row, name in enumerate(objects.index.image_ids)
        for label in sorted(blacklist.get(name, ()))
    ]
    if not pairs:
        return objects, detections
    kept_objects = ~np.isin(objects.images * classes + objects.labels, pairs)
    kept_detections = ~np.isin(detections.images * classes + detections.labels, pairs)
    return objects[kept_objects], detections[kept_detections]


def to_records(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Return a dictionary with Python values, as JSON needs them, for each of the N rows of the columns."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def corners_to_xywh(corners: ArrayLike) -> Float64Array:
    """Convert `x1, y1, x2, y2` [N, 4] to x, y, width, height in float64."""
    exact = np.array(corners, np.float64).reshape(-1, 4)
    exact[:, 2:] -= exact[:, :2]
    return exact


def xywh_to_corners(boxes_xywh: Float64Array) -> Float64Array:
    """Convert x, y, width, height [N, 4] to `x1, y1, x2, y2`."""
    corners = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    return corners


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(values.shape)}")


def _check_unique(name: str, values: Sequence[str | int]) -> None:
    for value, count in Counter(values).most_common(1):
        if count > 1:
            raise ValueError(f"{name} must differ, got {value!r} twice")
