from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.runtime.atomic_write import atomic_path, write_atomically


def test_content_is_written_and_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    for content in (b"first", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


def test_the_earlier_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"earlier")
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"later")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"  # from which libraries tell the format
        assert path.read_bytes() == b"earlier"
    assert path.read_bytes() == b"later"


def fail_half_way(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
def test_an_error_leaves_the_earlier_file_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"earlier")
    with pytest.raises(type(error)):
        fail_half_way(path, error)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    message = f"^{path}: expected a place to write to, got: No space left on device$"
    with pytest.raises(InputError, match=message):
        fail_half_way(path, OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "reason"), [("file/below.txt", "File exists"), ("", "Is a directory")])
def test_a_place_that_cannot_be_written_to(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(InputError, match=f"^{path}: expected a place to write to, got: {reason}$"):
        write_atomically(path, b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    write_atomically(tmp_path / "loop", b"content")
    assert (tmp_path / "loop").read_bytes() == b"content"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "link", content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_atomically(Path(os.devnull), b"content")
    assert Path(os.devnull).is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"content")
        assert os.read(reading, 100) == b"content"
    finally:
        os.close(reading)
    assert pipe.is_fifo()


def test_the_permissions_of_the_earlier_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "private.json"
    path.touch(0o600)
    write_atomically(path, b"content")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".json")  # 255 bytes
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
