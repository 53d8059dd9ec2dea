"""A partition of the results: a parquet file in which each row is an image.

A row has the `key` of the image, its `width` and `height`, the `boxes` (x1, y1, x2, y2 in pixels), `scores` and
`labels` (positions in the `class_names` of the manifest) of its detections, best first, an `error` in place of
detections, and the `versions` that made it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.errors import InputError
from detection.formats.dataset_results.manifest import COMMAND, FinishedPartition
from detection.runtime.atomic_write import atomic_path
from detection.structures.arrays import FloatArray, IntArray

VERSION_NAMES = ("inception_rcnn", "torch", "onnxruntime", "detector")
"""The keys of the versions of a row: three packages, and the checksum of the detector."""


class ImageRow(NamedTuple):
    """The detections in an image, or the error that it caused.

    Attributes:
        key: the name of the image.
        size: height and width; None after an error.
        boxes: float32 [N, 4], xyxy in pixels.
        scores: float32 [N].
        labels: int64 [N], positions in the class names of the manifest.
        error: a line of text, or None.
    """

    key: str
    size: tuple[int, int] | None
    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    error: str | None = None


def failed_row(key: str, error: str) -> ImageRow:
    """Return the row of an image that caused an error."""
    return ImageRow(key, None, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), error)


def partition_path(folder: Path, number: int) -> Path:
    """Return the path of the file of a partition."""
    return folder / f"part-{number:06d}.parquet"


def import_parquet() -> Any:
    """Return the module `pyarrow.parquet`; raises an `InputError` with the command that installs it."""
    try:
        import pyarrow.parquet  # noqa: PLC0415  optional
    except ModuleNotFoundError:
        raise InputError("parquet: expected the package pyarrow; pip install 'inception-rcnn[dataset]'") from None
    return pyarrow.parquet


def write_partition(
    folder: Path, number: int, rows: Sequence[ImageRow], versions: Mapping[str, str]
) -> FinishedPartition:
    """Write the rows of a partition; the file appears when it is complete.

    The same rows give the same bytes, with the same version of pyarrow.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    parquet = import_parquet()
    path = partition_path(folder, number)
    table = _table(rows, versions)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
        length = temporary.stat().st_size
    return FinishedPartition(len(rows), sum(row.error is not None for row in rows), length)


def read_partition(folder: Path, number: int, columns: Sequence[str] | None = None) -> Any:
    """Return the `pyarrow.Table` of a partition, with all columns or some.

    Raises:
        InputError: naming the file, if it is missing or damaged.
    """
    path = partition_path(folder, number)
    try:
        return import_parquet().ParquetFile(path).read(columns=columns)
    except (OSError, ValueError) as error:  # the errors of pyarrow are of these types
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected a partition of {COMMAND}, got: {reason}") from None


def table_rows(table: Any) -> list[ImageRow]:
    """Return the rows of a table with all columns."""
    columns = (table[name].to_pylist() for name in ("key", "width", "height", "boxes", "scores", "labels", "error"))
    return [
        ImageRow(
            key,
            None if width is None else (height, width),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(labels, np.int64),
            error,
        )
        for key, width, height, boxes, scores, labels, error in zip(*columns, strict=True)
    ]


def _table(rows: Sequence[ImageRow], versions: Mapping[str, str]) -> Any:
    """Return rows as a `pyarrow.Table`, which also tells Arrow's readers the types."""
    import pyarrow as pa  # noqa: PLC0415  optional

    offsets = np.cumsum([0, *(len(row.scores) for row in rows)])
    box_type = pa.list_(pa.float32(), 4)
    corners = np.concatenate([np.zeros((0, 4), np.float32), *(row.boxes for row in rows)]).ravel()
    scores = np.concatenate([np.zeros(0, np.float32), *(row.scores for row in rows)])
    labels = np.concatenate([np.zeros(0, np.int64), *(row.labels for row in rows)])
    sizes = [row.size or (None, None) for row in rows]
    made_with = {name: versions[name] for name in VERSION_NAMES}
    columns = {
        "key": pa.array([row.key for row in rows], pa.string()),
        "width": pa.array([width for _, width in sizes], pa.int32()),
        "height": pa.array([height for height, _ in sizes], pa.int32()),
        "boxes": _lists(offsets, pa.FixedSizeListArray.from_arrays(pa.array(corners), type=box_type)),
        "scores": _lists(offsets, pa.array(scores)),
        "labels": _lists(offsets, pa.array(labels.astype(np.int32))),
        "error": pa.array([row.error for row in rows], pa.string()),
        "versions": pa.array([made_with] * len(rows), pa.struct([(name, pa.string()) for name in VERSION_NAMES])),
    }
    return pa.table(columns)


def _lists(offsets: IntArray, values: Any) -> Any:
    """Return a column of lists of `values`; list i has the values from `offsets[i]` to `offsets[i + 1]`."""
    import pyarrow as pa  # noqa: PLC0415  optional

    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
