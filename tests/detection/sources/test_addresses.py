"""Archives and videos at addresses are downloaded, read like local ones, and deleted."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from detection.sources.pictures import find_pictures, sources_of_text
from tests.detection.image.image_files import PIXELS, encode
from tests.detection.sources.conftest import Server, answer
from tests.detection.sources.test_archives import write_zip
from tests.detection.sources.video_files import write_video

CONTENT = encode(PIL.Image.fromarray(PIXELS), "PNG")
MEMBERS = [("1.png", CONTENT), ("2.png", CONTENT)]


@pytest.fixture(name="temporary")
def folder_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_an_archive_at_an_address(server: Server, tmp_path: Path, temporary: Path) -> None:
    write_zip(tmp_path / "y.zip", [("1.png", CONTENT), ("sub/2.png", CONTENT), ("../3.png", CONTENT), ("4.png", b"no")])
    server.answers["/my%20album.ZIP?key=1"] = answer((tmp_path / "y.zip").read_bytes())
    address = server.address("/my%20album.ZIP?key=1")
    (source,), errors = sources_of_text(address)
    assert (source.path, errors, server.requests) == (None, [], [])
    pictures = list(find_pictures(address))
    assert [picture.name for picture in pictures] == [f"{address}/{name}.png" for name in ("1", "sub/2", "../3", "4")]
    assert [picture.stem for picture in pictures[:2]] == ["my album_1", "my album_2"]
    assert {picture.folder for picture in pictures[:2]} == {Path()}
    np.testing.assert_array_equal(pictures[1].read(), PIXELS)
    for picture, reason in zip(pictures[2:], ["a name within the archive", "a readable image"], strict=True):
        with pytest.raises(InputError) as caught:
            picture.read()
        assert str(caught.value).startswith(f"{picture.name}: expected {reason}")
    assert list(temporary.iterdir()) == []


def test_a_video_at_an_address(server: Server, tmp_path: Path, temporary: Path) -> None:
    server.answers["/film.avi"] = answer(write_video(tmp_path / "film.avi", frames=4, size=(16, 16)).read_bytes())
    pictures = list(find_pictures(server.address("/film.avi"), every=3))
    assert [picture.name for picture in pictures] == [server.address(f"/film.avi/frame_{n:06}") for n in (0, 3)]
    assert [picture.stem for picture in pictures] == ["film_frame_000000", "film_frame_000003"]
    assert pictures[1].moment is not None
    assert pictures[1].read().shape == (16, 16, 3)
    assert list(temporary.iterdir()) == []


def test_a_download_is_deleted_if_not_all_pictures_are_taken(server: Server, tmp_path: Path, temporary: Path) -> None:
    server.answers["/x.zip"] = answer(write_zip(tmp_path / "x.zip", MEMBERS).read_bytes())
    pictures = find_pictures(server.address("/x.zip"))
    next(pictures)
    assert len(list(temporary.iterdir())) == 1
    pictures.close()  # type: ignore[attr-defined]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html>", "expected a whole zip or tar archive, got: File is not a zip file"),
        (None, "expected an archive or a video, got: HTTP status 404 Not Found"),
        (bytes(2000), "expected an archive or a video, got: 2000 bytes, more than the limit of 1999"),
    ],
)
def test_an_address_without_an_archive(
    server: Server, temporary: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    monkeypatch.setattr("detection.sources.download.MAX_DOWNLOAD_BYTES", 1999)
    server.answers["/x.zip"] = answer(b"", status=404) if content is None else answer(content)
    (picture,) = find_pictures(server.address("/x.zip"))
    with pytest.raises(InputError) as caught:
        picture.read()
    assert str(caught.value) == f"{server.address('/x.zip')}: {reason}"
    assert list(temporary.iterdir()) == []


def test_a_full_disk_for_a_download(
    server: Server, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server.answers["/x.zip"] = answer(write_zip(tmp_path / "x.zip", MEMBERS).read_bytes())
    monkeypatch.setattr(Path, "write_bytes", refuse)
    (picture,) = find_pictures(server.address("/x.zip"))
    with pytest.raises(InputError, match=r"/x\.zip: expected space in .*, got: No space left on device"):
        picture.read()
    assert list(temporary.iterdir()) == []
