"""A file is the same if its content is, whatever its name and times; unchanged files are not read."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.runtime import file_fingerprint
from detection.runtime.file_fingerprint import fingerprint_file

CONTENT = b"pixels"


@pytest.fixture(name="path")
def file_with_content(tmp_path: Path) -> Path:
    path = tmp_path / "a.bmp"
    path.write_bytes(CONTENT)
    return path


def test_length_and_checksum(path: Path) -> None:
    file = fingerprint_file(path)
    assert (file.length, file.crc32) == (6, zlib.crc32(CONTENT))
    assert file.modified == path.stat().st_mtime_ns
    assert file.matches(path)


def test_unchanged_files_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fingerprint_file(path)
    monkeypatch.setattr(file_fingerprint, "_crc32", pytest.fail)
    assert file.matches(path)
    path.write_bytes(CONTENT * 2)
    assert not file.matches(path)  # the length tells


def test_a_copy_is_the_same(path: Path, tmp_path: Path) -> None:
    file = fingerprint_file(path)
    copy = tmp_path / "b.bmp"
    copy.write_bytes(CONTENT)
    assert file.matches(copy)
    assert file.is_same_content(fingerprint_file(copy))
    os.utime(path, (1, 1))
    assert file.matches(path)


@pytest.mark.parametrize("keep_times", [True, False])
@pytest.mark.parametrize("way", ["written", "moved", "linked"])
def test_other_content_of_the_same_length(path: Path, tmp_path: Path, *, keep_times: bool, way: str) -> None:
    file, times = fingerprint_file(path), path.stat()
    other = tmp_path / "other.bmp"
    other.write_bytes(b"slexip")
    if way == "written":
        path.write_bytes(b"slexip")
    elif way == "moved":
        other.replace(path)
    else:
        path.unlink()
        path.symlink_to(other)
    if keep_times:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not file.matches(path)
    assert not file.is_same_content(fingerprint_file(path))


def test_file_that_cannot_be_read(path: Path, tmp_path: Path) -> None:
    file = fingerprint_file(path)
    path.unlink()
    for look in (fingerprint_file, file.matches):
        with pytest.raises(InputError, match=f"^{path}: expected a file: No such file or directory$"):
            look(path)
    with pytest.raises(InputError, match=f"^{tmp_path}: expected a file: Is a directory$"):
        fingerprint_file(tmp_path)
