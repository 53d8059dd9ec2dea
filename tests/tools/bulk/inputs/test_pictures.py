from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.errors import InputError
from detection.image import decode_image
from detection.structures.arrays import Image
from tests.tools.bulk.conftest import COLUMNS, WRITERS, RefusingStore, write_folder, write_parquet, write_tar
from tools.bulk.inputs.item import Item
from tools.bulk.inputs.listing import list_items
from tools.bulk.inputs.pictures import item_pictures


def read(items: list[Item]) -> list[Image]:
    return [picture.read() for picture in item_pictures(items, COLUMNS)]


def errors(items: list[Item]) -> list[str]:
    found = []
    for picture in item_pictures(items, COLUMNS):
        try:
            picture.read()
            found.append("")
        except InputError as error:
            found.append(error.line)
    return found


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(("first", "last"), [(0, 7), (2, 5), (6, 7), (3, 3)])
def test_each_kind_gives_the_same_images(
    kind: str, first: int, last: int, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    items = list_items([WRITERS[kind](tmp_path / kind, pictures)], COLUMNS)
    contents = list(pictures.values())[first:last]
    for image, content in zip(read(items[first:last]), contents, strict=True):
        np.testing.assert_array_equal(image, decode_image(content, name="picture"))


def test_records_of_hugging_face(pictures: dict[str, bytes], tmp_path: Path) -> None:
    records = [{"bytes": content, "path": name} for name, content in pictures.items()]
    items = list_items([write_parquet(tmp_path / "a.parquet", {}, key=list(pictures), image=records)], COLUMNS)
    assert len(read(items)) == 7


@pytest.mark.parametrize("kind", WRITERS)
def test_bad_image_between_good_ones(kind: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    content = pictures | {"2.png": b"nonsense"}
    found = errors(list_items([WRITERS[kind](tmp_path / kind, content)], COLUMNS))
    assert [bool(error) for error in found] == [False, False, True, False, False, False, False]
    assert "expected a readable image, got: a file that is not JPEG" in found[2]


@pytest.mark.parametrize("kind", WRITERS)
def test_file_that_was_cut_off_after_the_list_was_made(kind: str, pictures: dict[str, bytes], tmp_path: Path) -> None:
    address = WRITERS[kind](tmp_path / kind, pictures)
    items = list_items([address], COLUMNS)
    if kind == "folder":
        (tmp_path / "folder" / "4.png").unlink()
    elif kind == "store":
        pytest.skip("a store replaces files as a whole")
    else:
        path = Path(address)
        path.write_bytes(path.read_bytes()[:-5] if kind.endswith(("zip", "parquet")) else path.read_bytes()[:1200])
    found = errors(items)
    assert len(found) == 7
    assert any(found)
    assert all(error.count("\n") == 0 and ": expected " in error for error in filter(None, found))


def test_list_shows_the_error_already(pictures: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, pictures)
    found = errors(list_items([str(tmp_path)], COLUMNS))
    assert [error.partition(", got")[0] for error in found] == [""] * 7 + [
        f"{tmp_path}/b.tar: expected each key once"
    ] * 7


def test_null_in_place_of_an_image(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {}, key=["a"], image=[None])
    assert errors(list_items([path], COLUMNS)) == [f"{path}: a: expected the bytes of an image, got NoneType"]


def test_file_without_permission_is_no_reason_to_stop(refusing: type[RefusingStore]) -> None:
    items = list_items(["refusing://photos"], COLUMNS)
    refusing.failures.append(PermissionError("access denied"))
    found = errors(items)
    assert found == ["refusing:///photos/0.png: expected a file that can be read, got: access denied"] + [""] * 6


def test_store_that_does_not_answer(refusing: type[RefusingStore]) -> None:
    items = list_items(["refusing://photos"], COLUMNS)
    refusing.failures.extend([ConnectionError("reset")] * 2)
    assert len(read(items)) == 7  # at the third attempt
    refusing.failures.extend([ConnectionError("reset")] * 3)
    with pytest.raises(OSError, match="expected the store to answer, got: reset") as caught:
        read(items)
    assert caught.value.filename == "refusing:///photos/0.png"


def test_folder_of_photos_is_read_lazily(tmp_path: Path) -> None:
    items = list_items([write_folder(tmp_path, {"a.png": b"", "b.png": b""})], COLUMNS)
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    assert [picture.name for picture in item_pictures(items, COLUMNS)] == ["a.png", "b.png"]


@pytest.mark.parametrize("kind", ["data.tar", "data.tar.gz", "data.zip", "data.parquet"])
def test_store_that_does_not_answer_while_an_archive_is_read(
    kind: str, refusing: type[RefusingStore], pictures: dict[str, bytes], tmp_path: Path
) -> None:
    """The archive is not damaged, so the same command may succeed later."""
    WRITERS[kind](tmp_path / kind, pictures)
    refusing().pipe(f"/shards/{kind}", (tmp_path / kind).read_bytes())
    address = f"refusing://shards/{kind}"
    refusing.failures.extend([ConnectionError("reset")] * 2)
    items = list_items([address], COLUMNS)
    assert [item.error for item in items] == [""] * 7  # at the third attempt
    refusing.failures.extend([ConnectionError("reset")] * 2)
    assert len(read(items)) == 7
    for work in (lambda: list_items([address], COLUMNS), lambda: read(items)):
        refusing.failures.extend([ConnectionError("reset")] * 3)
        with pytest.raises(OSError, match="expected the store to answer, got: reset") as caught:
            work()
        assert kind in str(caught.value.filename)
