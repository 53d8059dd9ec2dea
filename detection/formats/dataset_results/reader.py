"""The reader of all partitions of a folder, which matches them with the images and classes of a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError, short_repr
from detection.formats.dataset_results.manifest import COMMAND, MANIFEST, read_manifest
from detection.formats.dataset_results.partition import partition_path, read_partition
from detection.formats.parts.checked_rows import Rows, check_rows, join_rows, positions
from detection.formats.parts.image_names import find_image, images_by_name
from detection.structures.arrays import IntArray
from detection.structures.split_columns import SplitDetections, SplitIndex, corners_to_xywh


def read_dataset_results(folder: Path, index: SplitIndex, *, any_score: bool = False) -> SplitDetections:
    """Read the detections of a folder of `detect-dataset`, of which all partitions have to be finished.

    A key may be the name of an image in the data set, its file, or the name of its file with or without the suffix.

    Raises:
        InputError: naming the file, if a partition is missing or damaged, an image or class is not in the data set, an
            image has two rows with detections, or an image of the data set has none.
    """
    manifest = read_manifest(folder)
    if manifest.missing:
        raise InputError(
            f"{folder / MANIFEST}: expected all {manifest.partitions} partitions, got {len(manifest.finished)}; run "
            f"{COMMAND} again to go on"
        )
    reader = _Reader(index, manifest.class_names, any_score=any_score)
    parts = [reader.read(folder, number) for number in range(manifest.partitions)]
    if not reader.seen.all():
        first = int(reader.seen.argmin())
        reason = f": {reader.errors[first]}" if first in reader.errors else ""
        raise InputError(
            f"{folder}: expected detections of all {len(reader.seen)} images of the ground truth, got "
            f"{int(reader.seen.sum())}; the first without is '{index.image_ids[first]}'{reason}"
        )
    return join_rows(index, parts)


COLUMNS = ["key", "boxes", "scores", "labels", "error"]
"""The columns of a partition that are read."""


class _Reader:
    """Reads partitions, and keeps which images it has `seen`, and the `errors` of images by their position."""

    def __init__(self, index: SplitIndex, class_names: Sequence[str], *, any_score: bool) -> None:
        known = positions(index.class_names)
        self.seen = np.zeros(len(index.image_ids), np.bool_)
        self.errors: dict[int, str] = {}
        self._names = images_by_name(index)
        self._class_names = class_names
        self._labels = np.array([known.get(name, -1) for name in class_names], np.int64)
        self._any_score = any_score

    def read(self, folder: Path, number: int) -> Rows:
        """Return the detections of a partition; rows with an error have none."""
        path = partition_path(folder, number)
        table = read_partition(folder, number, COLUMNS).combine_chunks()
        if set(table.column_names) < set(COLUMNS):
            raise InputError(f"{path}: expected a partition of {COMMAND}, got one without some of its columns")
        images = self._find_images(path, table["key"].to_pylist(), table["error"].to_pylist())
        counts = table["labels"].combine_chunks().value_lengths().to_numpy()  # [R]
        rows = np.repeat(np.arange(len(images)), counts)  # [N]
        boxes, scores, labels = (_flat(table[name]) for name in ("boxes", "scores", "labels"))
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self._labels):
            raise InputError(
                f"{path}: expected labels of {len(self._labels)} classes, got {labels.min()}-{labels.max()}"
            )
        classes = self._labels[labels]
        place = f"{path}: row {{}}".format
        if (classes < 0).any():
            first = int((classes < 0).argmax())
            name = self._class_names[labels[first]]
            raise InputError(f"{place(rows[first])}: expected a class of the ground truth, got {short_repr(name)}")
        boxes_xywh = corners_to_xywh(boxes)
        check_rows(boxes_xywh, scores.astype(np.float64), lambda row: place(rows[row]), any_score=self._any_score)
        return images[rows], classes, boxes_xywh, scores.astype(np.float64)

    def _find_images(self, path: Path, keys: Sequence[str], errors: Sequence[str | None]) -> IntArray:
        """Return the position of the image of each row, -1 for rows with an error: int64 [R]."""
        images = np.full(len(keys), -1, np.int64)
        for row, (key, error) in enumerate(zip(keys, errors, strict=True)):
            try:
                image = find_image(key, self._names)
            except InputError as unknown:
                if error is None:
                    raise InputError(f"{path}: row {row}: {unknown}") from None
                continue
            if error is not None:
                self.errors.setdefault(image, error)
                continue
            if self.seen[image]:
                raise InputError(f"{path}: row {row}: expected each image once, got {short_repr(key)} again")
            self.seen[image] = True
            images[row] = image
        return images


def _flat(column: Any) -> Any:
    """Return all numbers of a column of lists as an array."""
    values = column.combine_chunks()
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)
