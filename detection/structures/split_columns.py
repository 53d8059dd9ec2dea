"""The objects and the detections of a whole split as columns: what scoring and the file formats work on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detection.structures.arrays import BoolArray, IntArray
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth

Columns = NDArray[np.float64]
"""Exact for whatever a file may hold; boxes are `x, y, width, height` here, as COCO's numbers survive only so."""


@dataclass(frozen=True, eq=False)
class SplitIndex:
    """The I images and C classes of a split, under all names and numbers that files know them by.

    `file_names` are those of the images, empty where unknown. `sizes` int64 [I, 2] are height and width, 0 where
    unknown. `list_numbers` int64 [I] are the numbers of the images in an ILSVRC list, `coco_image_ids` int64 [I] and
    `category_ids` int64 [C] the identifiers in COCO's files. `split_index` fills in what is left out.

    Raises:
        ValueError: at construction, if an image, number or class occurs twice, or something does not have its length.
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
            _require_unique(name, getattr(self, name))
        for name, length in (("list_numbers", images), ("coco_image_ids", images), ("category_ids", classes)):
            _require_shape(name, getattr(self, name), (length,))
            _require_unique(name, getattr(self, name).tolist())
        _require_shape("sizes", self.sizes, (images, 2))
        _require_shape("file_names", np.asarray(self.file_names, object), (images,))

    def same_as(self, other: SplitIndex) -> bool:
        """Whether the other index has the same images and classes in the same order."""
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
    """The index of a split, of which only images and classes need to be known.

    Images are numbered from 1 in their order and so are classes. In COCO's files, image ids that are all numbers stand
    for themselves, as "000012" for 12.
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
    numbers = {int(one) for one in image_ids if one.isascii() and one.isdecimal() and len(one) < 19}
    if len(numbers) == len(image_ids):
        return np.array([int(one) for one in image_ids], np.int64)
    return np.arange(1, len(image_ids) + 1)


@dataclass(frozen=True, eq=False)
class SplitObjects:
    """The M annotated objects of a split.

    `images` int64 [M] are rows of the index, `labels` int64 [M] too; `boxes_xywh` float64 [M, 4] in pixels; `ignored`
    bool [M] as in `GroundTruth`; `crowd` bool [M] are those of COCO's `iscrowd`; `areas` float64 [M] are those that
    COCO's rule sorts objects by, of the outline where the file has one.

    Raises:
        ValueError: at construction, if a column does not have its shape.
    """

    index: SplitIndex
    images: IntArray
    labels: IntArray
    boxes_xywh: Columns
    ignored: BoolArray
    crowd: BoolArray
    areas: Columns

    def __post_init__(self) -> None:
        _check_columns(self, ("labels", "ignored", "crowd", "areas"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: BoolArray | IntArray) -> SplitObjects:
        return _take(self, rows)

    @property
    def boxes(self) -> Columns:
        """Corners x1, y1, x2, y2: [M, 4], half-open."""
        return xywh_to_corners(self.boxes_xywh)


@dataclass(frozen=True, eq=False)
class SplitDetections:
    """The N detections of a split, in the order of their file.

    `images` int64 [N] and `labels` int64 [N] are rows of the index; `boxes_xywh` float64 [N, 4] in pixels; `scores`
    float64 [N], of which only the order counts.

    Raises:
        ValueError: at construction, if a column does not have its shape.
    """

    index: SplitIndex
    images: IntArray
    labels: IntArray
    boxes_xywh: Columns
    scores: Columns

    def __post_init__(self) -> None:
        _check_columns(self, ("labels", "scores"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: BoolArray | IntArray) -> SplitDetections:
        return _take(self, rows)

    @property
    def boxes(self) -> Columns:
        """Corners x1, y1, x2, y2: [N, 4], half-open."""
        return xywh_to_corners(self.boxes_xywh)


def split_objects(index: SplitIndex, records: Sequence[GroundTruth]) -> SplitObjects:
    """The objects of records, which are in the order of the index's images; ignored ones count as COCO's crowds."""
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
    """The detections of images by their id, in the order of the index; an image without an entry has none."""
    found = [(row, detections[name]) for row, name in enumerate(index.image_ids) if name in detections]
    return SplitDetections(
        index=index,
        images=np.repeat([row for row, _ in found], [len(one) for _, one in found]).astype(np.int64),
        labels=np.concatenate([np.zeros(0, np.int64), *(one.labels for _, one in found)]),
        boxes_xywh=corners_to_xywh(np.concatenate([np.zeros((0, 4)), *(one.boxes for _, one in found)])),
        scores=np.concatenate([np.zeros(0), *(one.scores for _, one in found)]).astype(np.float64),
    )


def select_images(objects: SplitObjects, rows: IntArray) -> SplitObjects:
    """The split of only the images in `rows` [K] of the index, in that order."""
    index = objects.index
    fewer = SplitIndex(
        image_ids=tuple(index.image_ids[row] for row in rows),
        class_names=index.class_names,
        file_names=tuple(index.file_names[row] for row in rows),
        sizes=index.sizes[rows],
        list_numbers=index.list_numbers[rows],
        coco_image_ids=index.coco_image_ids[rows],
        category_ids=index.category_ids,
    )
    new_rows = np.full(len(index.image_ids), -1)
    new_rows[rows] = np.arange(len(rows))
    kept = objects[new_rows[objects.images] >= 0]
    return replace(kept, index=fewer, images=new_rows[kept.images])


def drop_blacklisted(
    objects: SplitObjects, detections: SplitDetections, blacklist: Mapping[str, Collection[int]]
) -> tuple[SplitObjects, SplitDetections]:
    """What is left without blacklisted classes: `blacklist` gives, by image id, labels that count neither way there."""
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


Table = TypeVar("Table", SplitObjects, SplitDetections)


def corners_to_xywh(corners: ArrayLike) -> Columns:
    """`x1, y1, x2, y2` [N, 4] as x, y, width, height in float64."""
    exact = np.array(corners, np.float64).reshape(-1, 4)
    exact[:, 2:] -= exact[:, :2]
    return exact


def xywh_to_corners(boxes_xywh: Columns) -> Columns:
    """x, y, width, height [N, 4] as `x1, y1, x2, y2`."""
    corners = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    return corners


def _check_columns(table: SplitObjects | SplitDetections, names: Sequence[str]) -> None:
    count = len(table.images)
    _require_shape("boxes_xywh", table.boxes_xywh, (count, 4))
    for name in ("images", *names):
        _require_shape(name, getattr(table, name), (count,))
    for name, length in (("images", len(table.index.image_ids)), ("labels", len(table.index.class_names))):
        column = getattr(table, name)
        if count and not 0 <= column.min() <= column.max() < length:
            raise ValueError(f"{name} must be rows of the {length} of the index, got {column.min()}-{column.max()}")


def _take(table: Table, rows: BoolArray | IntArray) -> Table:
    columns = {name: value[rows] for name, value in vars(table).items() if name != "index"}
    return replace(table, **columns)


def _require_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(values.shape)}")


def _require_unique(name: str, values: Sequence[str | int]) -> None:
    if len(set(values)) == len(values):
        return
    seen: set[str | int] = set()
    twice = next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
    raise ValueError(f"{name} must differ, got {twice!r} twice")
