from __future__ import annotations

from pathlib import Path

import pytest

from detection.errors import InputError
from tests.tools.bulk.conftest import (
    COLUMNS,
    WRITERS,
    RefusingStore,
    write_folder,
    write_parquet,
    write_tar,
    write_zip,
)
from tools.bulk.inputs.item import NO_PLACE, Columns, Item
from tools.bulk.inputs.listing import list_items

KEYS = {
    "folder": "{}",
    "data.tar": "{stem}",
    "data.tar.gz": "{stem}",
    "data.zip": "data.zip/{}",
    "data.parquet": "{}",
    "store": "{}",
}
"""The key of a picture by its name, with and without the suffix."""


def keys(items: list[Item]) -> list[str]:
    return [item.key for item in items]


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_is_listed_in_order(kind: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    items = list_items([WRITERS[kind](tmp_path / kind, pictures)], COLUMNS)
    assert keys(items) == [KEYS[kind].format(name, stem=name.removesuffix(".png")) for name in pictures]
    assert [item.error for item in items] == [""] * 7


def test_folder_with_shards_and_others(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {"b/photo.JPG": b"", ".hidden/a.png": b"", "a.detections.png": b"", "a.txt": b"", "c.png": b""}
    )
    write_tar(tmp_path / "b" / "x.tar", {"0001.jpg": b"1", "0002.jpg": b"2"})
    assert keys(list_items([str(tmp_path)], COLUMNS)) == ["b/photo.JPG", "0001", "0002", "c.png"]


def test_pattern(pictures: dict[str, bytes], tmp_path: Path) -> None:
    write_folder(tmp_path / "a[1]" / "x", pictures)
    write_folder(tmp_path / "b" / "x", {"9.png": b"", "8.jpg": b""})
    assert keys(list_items([f"{tmp_path}/b/*/*.png"], COLUMNS)) == ["x/9.png"]
    assert keys(list_items([f"{tmp_path}/a[1]", f"{tmp_path}/b/x/8.jpg"], COLUMNS))[-2:] == ["x/sub/6.png", "8.jpg"]


def test_relative_pattern_in_a_folder_with_brackets(
    pictures: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "a[1]" / "x", pictures)
    monkeypatch.chdir(tmp_path / "a[1]")
    assert keys(list_items(["x/*.png"], COLUMNS)) == [name for name in pictures if "/" not in name]


def test_second_image_with_a_key_has_an_error(tmp_path: Path) -> None:
    shards = [write_tar(tmp_path / name, {"1.png": b"one", "2.png": b"two"}) for name in ("a.tar", "b.tar")]
    items = list_items([f"{tmp_path}/*.tar"], COLUMNS)
    assert [bool(item.error) for item in items] == [False, False, True, True]
    assert items[2].error == f"{shards[1]}: expected each key once, got '1' again, which {shards[0]} has too"


@pytest.mark.parametrize("blocks", [30, 100])
def test_rest_of_a_half_written_tar_has_an_error(blocks: int, pictures: dict[str, bytes], tmp_path: Path) -> None:
    path = Path(write_tar(tmp_path / "half.tar", pictures))
    path.write_bytes(path.read_bytes()[: blocks * 512 + 100])
    *listed, last = list_items([str(path)], COLUMNS)
    assert 0 < len(listed) <= 7
    assert (last.key, last.place) == ("half.tar", NO_PLACE)
    assert last.error.startswith(f"{path}: expected a whole zip or tar archive, got: ")


@pytest.mark.parametrize("name", ["bad.zip", "bad.parquet", "bad.tar.gz"])
def test_damaged_file_is_an_item_with_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK damaged")
    (item,) = list_items([str(tmp_path)], COLUMNS)
    assert item.key == name
    assert item.error.startswith(f"{tmp_path / name}: expected a whole ")


def test_unsafe_and_disguised_members(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"../../x.png": b"1", "y.png": b"2"})
    assert [bool(item.error) for item in list_items([path], COLUMNS)] == [True, False]
    Path(write_tar(tmp_path / "a.tar.gz", {"1.png": b""}, "w:gz")).rename(tmp_path / "b.tar")
    (item,) = list_items([str(tmp_path / "b.tar")], COLUMNS)
    assert "without compression, got a compressed one" in item.error


@pytest.mark.parametrize("columns", [Columns("name", "image"), Columns("key", "jpg")])
def test_missing_column(columns: Columns, pictures: dict[str, bytes], tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", pictures)
    missing, option = ("name", "key") if columns.key == "name" else ("jpg", "image")
    with pytest.raises(InputError) as caught:
        list_items([path], columns)
    assert str(caught.value) == f"{path}: expected a column '{missing}' (--{option}-column), got: key, image"


def test_row_without_a_key(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {}, key=["a", None], image=[b"", b""])
    assert [item.error for item in list_items([path], COLUMNS)] == ["", f"{path}: row 1: expected a key, got none"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("{0}/missing", "expected a file, a folder or a pattern, found no file there"),
        ("{0}/*.png", "expected a file, a folder or a pattern, found no file there"),
        ("{0}", "expected images, or archives or parquet files with some"),
        ("nonsense://bucket/a", "expected a path or the address of a store, got: "),
        ("memory://nothing/there", "expected a file, a folder or a pattern, found no file there"),
    ],
)
def test_nothing_there(address: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="expected") as caught:
        list_items([address.format(tmp_path)], COLUMNS)
    assert str(caught.value).startswith(f"{address.format(tmp_path)}: {reason}")


def test_store_that_refuses_to_list(refusing: type[RefusingStore]) -> None:
    refusing.failures.append(PermissionError("access denied"))
    with pytest.raises(InputError, match="refusing://photos: expected a file that can be read, got: access denied"):
        list_items(["refusing://photos"], COLUMNS)
    refusing.failures.extend([ConnectionError("reset")] * 2)  # the third attempt is answered
    assert len(list_items(["refusing://photos"], COLUMNS)) == 7
