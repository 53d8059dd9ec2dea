from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.formats.dataset_results.manifest import (
    MANIFEST,
    FinishedPartition,
    Manifest,
    read_manifest,
    write_manifest,
)

EXAMPLE = Manifest(
    versions={"torch": "2.0"},
    settings={"detector": {"score_threshold": 0.5}},
    class_names=("cat", "dog"),
    partitions=3,
    finished={2: FinishedPartition(4, 0, 100), 0: FinishedPartition(5, 1, 120)},
)


def test_manifest_comes_back(tmp_path: Path) -> None:
    write_manifest(tmp_path, EXAMPLE)
    assert read_manifest(tmp_path) == EXAMPLE
    assert EXAMPLE.missing == [1]


def test_order_of_the_work_does_not_matter() -> None:
    other = dataclasses.replace(EXAMPLE, finished=dict(sorted(EXAMPLE.finished.items())))
    assert list(other.finished) != list(EXAMPLE.finished)
    assert other.to_json() == EXAMPLE.to_json()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", '{"format": 1, "version": 1}', '{"finished": 3}', b"\xff".decode("latin-1")]
)
def test_other_files(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=f"{MANIFEST}: expected"):
        read_manifest(tmp_path)


def test_later_version(tmp_path: Path) -> None:
    write_manifest(tmp_path, EXAMPLE)
    content = json.loads((tmp_path / MANIFEST).read_text()) | {"version": 2}
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(InputError, match="expected version 1 of the format, got 2"):
        read_manifest(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the manifest of detect-dataset: No such file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("change", [{"partitions": "1"}, {"partitions": -1}, {"partitions": True}, {"settings": []}])
def test_damaged_values(change: dict[str, object], tmp_path: Path) -> None:
    content = json.loads(EXAMPLE.to_json()) | change
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=f"{MANIFEST}: expected the manifest of detect-dataset, got a damaged or other"
    ):
        read_manifest(tmp_path)
