"""Images in archives, and archives that were made to do harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from detection.sources import archives
from detection.sources.archives import archive_pictures
from tests.detection.image.image_files import PIXELS, encode

CONTENT = encode(PIL.Image.fromarray(PIXELS), "PNG")
Files = Iterable[tuple[str, bytes]]


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def write_tar(path: Path, files: Files, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


WRITERS: dict[str, Callable[[Path, Files], Path]] = {
    "a.zip": write_zip,
    "a.tar": write_tar,
    "a.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "a.TBZ2": lambda path, files: write_tar(path, files, "w:bz2"),
    "a.tar.xz": lambda path, files: write_tar(path, files, "w:xz"),
}


def outcomes(path: Path) -> list[str]:
    """What reading each picture of an archive gives: its name below the archive, or the message of its error."""
    return [outcome(path, picture.read, picture.name) for picture in archive_pictures(path)]


def outcome(path: Path, read: Callable[[], object], name: str) -> str:
    try:
        np.testing.assert_array_equal(read(), PIXELS)
    except InputError as error:
        return str(error).replace(str(path), "archive")
    return name.removeprefix(f"{path}/")


@pytest.mark.parametrize("name", WRITERS)
def test_images_are_read_in_the_order_of_the_archive(name: str, tmp_path: Path) -> None:
    files = [("b/x.png", CONTENT), ("./a.JPG", CONTENT), ("notes.txt", b"text"), ("b/ä b.png", CONTENT)]
    path = WRITERS[name](tmp_path / name, files)
    assert outcomes(path) == ["b/x.png", "a.JPG", "b/ä b.png"]
    assert [picture.stem for picture in archive_pictures(path)] == ["a_x", "a_a", "a_ä b"]
    assert {picture.folder for picture in archive_pictures(path)} == {tmp_path}
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208  nothing is written to the disk


@pytest.mark.parametrize("name", WRITERS)
def test_hidden_files_and_pictures_of_detect_are_passed_over(name: str, tmp_path: Path) -> None:
    names = ["__MACOSX/._x.png", ".hidden.png", ".thumbs/x.png", "x.detections.png", "x.png"]
    assert outcomes(WRITERS[name](tmp_path / name, [(file, CONTENT) for file in names])) == ["x.png"]


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_without_images(name: str, tmp_path: Path) -> None:
    (message,) = outcomes(WRITERS[name](tmp_path / name, [("a.heic", b""), ("b.HEIC", b""), ("c.txt", b"")]))
    assert message.startswith("archive: expected an archive with images")
    assert message.endswith(", got only .heic (2)")
    (message,) = outcomes(WRITERS[name](tmp_path / name, []))
    assert message.endswith(", got none")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "member", ["../x.png", "a/../../x.png", "/x.png", "..\\x.png", "C:\\x.png", "c:x.png", "\\\\server\\x.png", "../x"]
)
def test_a_member_that_leads_out_of_the_archive_is_refused_by_name(name: str, member: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, [(member, CONTENT), ("good.png", CONTENT)])
    refused, good = outcomes(path)
    assert refused == f"archive/{member}: expected a name within the archive, got one that leads out of it"
    assert good == "good.png"
    assert all(not set(picture.stem) & set("/\\:") for picture in archive_pictures(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", WRITERS)
def test_two_members_of_one_name_are_told_apart(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, [("x.png", CONTENT), ("x.png", CONTENT), ("y/x.png", CONTENT)])
    assert outcomes(path) == ["x.png", "x.png (2)", "y/x.png"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_image_stops_no_other(name: str, tmp_path: Path) -> None:
    bad, good = outcomes(WRITERS[name](tmp_path / name, [("bad.png", CONTENT[:-30]), ("good.png", CONTENT)]))
    assert bad.startswith("archive/bad.png: expected a readable image, got: ")
    assert good == "good.png"


def test_links_and_special_files_of_a_tar_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = {"sym.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "pipe.png": tarfile.FIFOTYPE}
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert outcomes(path) == [
        "archive/sym.png: expected a file, got a link",
        "archive/hard.png: expected a file, got a link",
        "archive/pipe.png: expected a file, got a special file",
    ]


def test_links_and_encrypted_files_of_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.png", CONTENT)
    content = bytearray(path.read_bytes())
    flags = content.rindex(b"PK\x01\x02") + 8  # of the last entry of the list
    content[flags] |= 1
    path.write_bytes(content)
    assert outcomes(path) == [
        "archive/link.png: expected a file, got a link",
        "archive/secret.png: expected a file, got an encrypted file",
    ]


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", [("bomb.png", bytes(1 << 20)), ("good.png", CONTENT)])
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 19)
    bomb, good = outcomes(path)
    assert bomb.startswith("archive/bomb.png: expected at most 200 times its packed size of ")
    assert good == "good.png"
    for name in ("a.zip", "a.tar"):
        path = WRITERS[name](tmp_path / name, [("bomb.png", bytes(1 << 20)), ("good.png", CONTENT)])
        with monkeypatch.context() as patch:
            patch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
            bomb, good = outcomes(path)
        assert bomb == f"archive/bomb.png: expected at most 1000 bytes when unpacked, got {1 << 20}"
        assert good == "good.png"


def test_a_zip_that_lies_about_the_size_of_a_member(tmp_path: Path) -> None:
    """The list says 10 bytes, and the member has a million: no more than 10 are unpacked."""
    path = write_zip(tmp_path / "a.zip", [("bomb.png", bytes(1_000_000))])
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    (bomb,) = outcomes(path)
    assert bomb.startswith("archive/bomb.png: expected a whole file, got: Bad CRC-32")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.TBZ2"])
def test_a_compressed_tar_that_unpacks_to_too_much_is_not_read_further(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    path = WRITERS[name](tmp_path / name, [("good.png", CONTENT), ("x.bin", bytes(1 << 24)), ("late.png", CONTENT)])
    monkeypatch.setattr(archives, "MAX_RATIO", 20)
    good, bomb = outcomes(path)
    assert good == "good.png"
    assert bomb.startswith("archive: expected a whole zip or tar archive, got: more than ")


@pytest.mark.parametrize("name", WRITERS)
def test_limits_of_all_members_together(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = WRITERS[name](tmp_path / name, [(f"{number}.png", CONTENT) for number in range(4)])
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_MEMBERS", 3)
        *done, last = outcomes(path)
    assert done == ["0.png", "1.png", "2.png"]
    assert last == "archive: expected at most 3 files in an archive, got more"
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2 * len(CONTENT))
    *done, last = outcomes(path)
    assert done == ["0.png", "1.png"]
    assert last == f"archive: expected at most {2 * len(CONTENT)} bytes when unpacked, got more"


def test_a_list_of_files_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", [(f"{number}.txt", b"") for number in range(100)])
    monkeypatch.setattr(archives, "MAX_LIST_BYTES", 2000)
    (message,) = outcomes(path)
    assert message.endswith("bytes at once, more than the limit of 2000")


def test_a_header_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extended header of a file is a million bytes long, and packs to a thousandth of that."""
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.png")
        info.pax_headers = {"comment": "x" * 1_000_000}
        archive.addfile(info, io.BytesIO())
    monkeypatch.setattr(archives, "MAX_LIST_BYTES", 1 << 16)
    (message,) = outcomes(path)
    assert "bytes at once, more than the limit of 65536" in message


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0, 0.3, 0.7])
def test_an_archive_that_is_cut_short_gives_what_it_has(name: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    path = WRITERS[name](tmp_path / name, [("first.png", CONTENT), ("noise.bin", noise), ("last.png", CONTENT)])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    *done, last = outcomes(path)
    assert done in ([], ["first.png"])
    assert last.startswith("archive: expected a whole zip or tar archive, got: ")
    assert "\n" not in last


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
@pytest.mark.parametrize(
    "content", [b"", b"text" * 500, b"PK\x03\x04" + bytes(100), gzip.compress(b"text" * 500, mtime=0)]
)
def test_what_is_no_archive(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (message,) = outcomes(tmp_path / name)
    assert message.startswith("archive: expected ")


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    assert outcomes(tmp_path / "a.zip") == [
        "archive: expected a whole zip or tar archive, got: No such file or directory"
    ]
