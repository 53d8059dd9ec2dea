"""Bad inputs of the command: what can be read is done, and the rest is a row with an error or a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detection.formats.dataset_results.manifest import read_manifest
from detection.formats.dataset_results.partition import ImageRow, read_partition, table_rows
from tests.tools.bulk.conftest import write_parquet, write_tar, write_zip
from tools.bulk import command


@pytest.fixture
def options(detector_config: Path, tmp_path: Path) -> list[str]:
    return ["--config", str(detector_config), "--output", str(tmp_path / "found"), "--partition-size", "5", "--input"]


def rows_of(folder: Path) -> list[ImageRow]:
    return [row for number in read_manifest(folder).finished for row in table_rows(read_partition(folder, number))]


def test_half_written_copy_of_an_archive(
    options: list[str], pictures: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, half = (Path(write_tar(tmp_path / name, pictures)) for name in ("a.tar", "b.tar"))
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    assert command.main([*options, str(whole), str(half)]) == 1
    found = rows_of(tmp_path / "found")
    assert [row.error for row in found[:7]] == [None] * 7
    assert all(len(row.boxes) > 5 for row in found[:7])
    *repeated, last = found[7:]
    assert 0 < len(repeated) < 7
    for row in repeated:
        assert row.error == f"{half}: expected each key once, got '{row.key}' again, which {whole} has too"
    assert last.key == "b.tar"
    assert last.error is not None
    assert last.error.startswith(f"{half}: expected a whole zip or tar archive, got: ")
    assert f"{len(found) - 7} images have an error in place of detections" in capsys.readouterr().err
    assert command.main([*options, str(whole), str(half)]) == 1  # the list is the same at the next run
    assert len(rows_of(tmp_path / "found")) == len(found)


def test_archive_that_is_cut_off_within_a_member(
    options: list[str], pictures: dict[str, bytes], tmp_path: Path
) -> None:
    """The headers of a tar archive tell how long its last member was to be."""
    path = Path(write_tar(tmp_path / "a.tar", {"0.png": pictures["0.png"], "1.png": pictures["1.png"]}))
    start = path.read_bytes().index(pictures["1.png"])
    path.write_bytes(path.read_bytes()[: start + 100])
    assert command.main([*options, str(path)]) == 1
    first, *others = rows_of(tmp_path / "found")
    assert (first.key, first.error) == ("0", None)
    assert others
    assert all(row.error is not None and row.error.startswith(str(path)) for row in others)


def test_zip_archive_without_its_end(options: list[str], pictures: dict[str, bytes], tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", pictures))
    path.write_bytes(path.read_bytes()[:-30])
    assert command.main([*options, str(path)]) == 1
    (row,) = rows_of(tmp_path / "found")
    assert (row.key, row.error) == (
        "a.zip",
        f"{path}: expected a whole zip or tar archive, got: File is not a zip file",
    )


@pytest.mark.parametrize("option", ["key", "image"])
def test_parquet_without_the_column(
    option: str, options: list[str], pictures: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_parquet(tmp_path / "a.parquet", pictures)
    assert command.main([*options, path, f"--{option}-column", "other"]) == 1
    reason = f"expected a column 'other' (--{option}-column), got: key, image"
    assert capsys.readouterr().err == f"detect-dataset: {path}: {reason}\n"
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(("content", "got"), [("text", "str"), (7, "int"), ({"path": "a.png"}, "NoneType")])
def test_parquet_with_something_else_in_the_column(content: Any, got: str, options: list[str], tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {}, key=["a"], image=[content])
    assert command.main([*options, path]) == 1
    (row,) = rows_of(tmp_path / "found")
    assert (row.key, row.error) == ("a", f"{path}: a: expected the bytes of an image, got {got}")


def test_parquet_whose_keys_occur_twice(options: list[str], pictures: dict[str, bytes], tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {}, key=["a", "b", "a"], image=list(pictures.values())[:3])
    assert command.main([*options, path]) == 1
    found = rows_of(tmp_path / "found")
    repeated = f"{path}: expected each key once, got 'a' again, which {path} has too"
    assert [(row.key, row.error) for row in found] == [("a", None), ("b", None), ("a", repeated)]
    assert [len(row.boxes) > 0 for row in found] == [True, True, False]
