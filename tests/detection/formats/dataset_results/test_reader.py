from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from detection.errors import InputError
from detection.formats.dataset_results.manifest import Manifest, write_manifest
from detection.formats.dataset_results.partition import ImageRow, failed_row, write_partition
from detection.formats.detections import read_detections
from tests.detection.formats.detection_examples import ground_truth

VERSIONS = {"inception_rcnn": "1.0", "torch": "2.0", "onnxruntime": "1.20", "detector": "abc"}


def row(
    key: str, boxes: Sequence[Sequence[float]] = (), scores: Sequence[float] = (), labels: Sequence[int] = ()
) -> ImageRow:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return ImageRow(key, (100, 200), corners, np.array(scores, np.float32), np.array(labels, np.int64))


def write(folder: Path, *partitions: Sequence[ImageRow], class_names: Sequence[str] = ("baby bed", "cat")) -> Path:
    finished = {number: write_partition(folder, number, rows, VERSIONS) for number, rows in enumerate(partitions)}
    write_manifest(folder, Manifest(VERSIONS, {}, tuple(class_names), len(partitions), finished))
    return folder


FIRST = [row("000012.jpg", [[0, 0, 10, 20], [1.5, 2, 4, 5]], [0.75, 0.5], [1, 0]), row("folder/empty.png")]


def test_rows_become_columns_in_the_classes_of_the_ground_truth(tmp_path: Path) -> None:
    found = read_detections(write(tmp_path, FIRST, [row("000003", [[5, 5, 6, 7]], [0.25], [1])]), ground_truth())
    assert found.images.tolist() == [0, 0, 1]
    assert found.labels.tolist() == [0, 1, 0]  # the detector has the classes in another order
    assert found.boxes_xywh.tolist() == [[0, 0, 10, 20], [1.5, 2, 2.5, 3], [5, 5, 1, 2]]
    assert found.scores.tolist() == [0.75, 0.5, 0.25]


def test_repeated_image_with_an_error_does_no_harm(tmp_path: Path) -> None:
    rows = [row("000003"), failed_row("000003", "again"), failed_row("no image", "damaged archive")]
    assert len(read_detections(write(tmp_path, FIRST, rows), ground_truth())) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected detections of all 3 images of the ground truth, got 2; the first without is '000003'"),
        ([failed_row("000003", "bad")], "got 2; the first without is '000003': bad"),
        (
            [row("000003"), row("7.jpg")],
            "part-000001.parquet: row 1: expected an image of the ground truth, got '7.jpg'",
        ),
        ([row("000003"), row("empty")], "part-000001.parquet: row 1: expected each image once, got 'empty' again"),
        (
            [row("000003", [[0, 0, 1, 1]], [0.5], [2])],
            "part-000001.parquet: row 0: expected a class of the ground truth, got 'dog'",
        ),
        ([row("000003", [[0, 0, 1, 1]], [1.5], [0])], "part-000001.parquet: row 0: expected a score in 0-1, got 1.5"),
    ],
)
def test_what_cannot_be_scored(rows: Sequence[ImageRow], message: str, tmp_path: Path) -> None:
    write(tmp_path, FIRST, rows, class_names=("baby bed", "cat", "dog"))
    with pytest.raises(InputError) as caught:
        read_detections(tmp_path, ground_truth())
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_any_score(tmp_path: Path) -> None:
    rows = [row("000003", [[0, 0, 1, 1]], [1.5], [0])]
    assert read_detections(write(tmp_path, FIRST, rows), ground_truth(), any_score=True).scores.tolist()[-1] == 1.5


def test_unfinished_run(tmp_path: Path) -> None:
    part = write_partition(tmp_path, 0, FIRST, VERSIONS)
    write_manifest(tmp_path, Manifest(VERSIONS, {}, ("cat",), 2, {0: part}))
    with pytest.raises(InputError, match="expected all 2 partitions, got 1; run detect-dataset again to go on"):
        read_detections(tmp_path, ground_truth())


@pytest.mark.parametrize("label", [-1, 2])
def test_label_of_no_class(label: int, tmp_path: Path) -> None:
    folder = write(tmp_path, [row("000012", [[0, 0, 1, 1]], [0.5], [label])])
    with pytest.raises(InputError, match=rf"part-000000.parquet: expected labels of 2 classes, got {label}-{label}"):
        read_detections(folder, ground_truth())


def test_column_that_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path, FIRST)
    path = next(folder.glob("*.parquet"))
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop(["labels"]), path)
    with pytest.raises(InputError, match=r"part-000000.parquet: expected "):
        read_detections(folder, ground_truth())
