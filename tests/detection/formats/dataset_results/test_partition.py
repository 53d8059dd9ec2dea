from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.dataset_results.partition import (
    ImageRow,
    failed_row,
    partition_path,
    read_partition,
    table_rows,
    write_partition,
)

VERSIONS = {"inception_rcnn": "1.0", "torch": "2.0", "onnxruntime": "1.20", "detector": "abc"}


def image_row(key: str, count: int, height: int = 40) -> ImageRow:
    boxes = np.arange(count * 4, dtype=np.float32).reshape(-1, 4) + np.array([0, 0, 2.5, 2.5], np.float32)
    scores = np.linspace(1, 0.5, count).astype(np.float32)
    return ImageRow(key, (height, 50), boxes, scores, np.arange(count) % 2)


ROWS = [
    image_row("a.jpg", 3),
    failed_row("bad.jpg", "bad.jpg: expected an image"),
    image_row("b.jpg", 0),
    image_row("c", 1),
]


def test_rows_come_back(tmp_path: Path) -> None:
    part = write_partition(tmp_path, 7, ROWS, VERSIONS)
    assert (part.rows, part.errors, part.bytes) == (4, 1, partition_path(tmp_path, 7).stat().st_size)
    for row, again in zip(ROWS, table_rows(read_partition(tmp_path, 7)), strict=True):
        assert (row.key, row.size, row.error) == (again.key, again.size, again.error)
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(row, name), getattr(again, name))
            assert getattr(row, name).dtype == getattr(again, name).dtype


def test_empty_partition(tmp_path: Path) -> None:
    assert write_partition(tmp_path, 0, [], VERSIONS).rows == 0
    assert table_rows(read_partition(tmp_path, 0)) == []


def test_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    for number in (0, 1):
        write_partition(tmp_path, number, ROWS, VERSIONS)
    assert partition_path(tmp_path, 0).read_bytes() == partition_path(tmp_path, 1).read_bytes()


def test_duckdb_reads_it(tmp_path: Path) -> None:
    write_partition(tmp_path, 0, ROWS, VERSIONS)
    columns = "key, width, height, boxes[1][3], len(scores), labels, error IS NULL, versions.detector"
    query = f"SELECT {columns} FROM '{tmp_path}/*.parquet'"
    assert duckdb.sql(query).fetchall() == [
        ("a.jpg", 50, 40, 4.5, 3, [0, 1, 0], True, "abc"),
        ("bad.jpg", None, None, None, 0, [], False, "abc"),
        ("b.jpg", 50, 40, None, 0, [], True, "abc"),
        ("c", 50, 40, 4.5, 1, [0], True, "abc"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 damaged PAR1"])
def test_damaged_or_missing_file(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        partition_path(tmp_path, 0).write_bytes(content)
    with pytest.raises(InputError, match=r"part-000000.parquet: expected a partition of detect-dataset, got: "):
        read_partition(tmp_path, 0)
