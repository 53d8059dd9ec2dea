"""`find_images` finds the images of files, folders and patterns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.sources.files import IMAGE_SUFFIXES, find_images, find_passed_over


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with images, other files, and a folder with the name of an image."""
    names = [
        "b.jpg",
        "a.PNG",
        "c.JPEG",
        "notes.txt",
        "noext",
        "sub/d.webp",
        "sub/deep/e.tif",
        "[x].bmp",
        "none/readme.md",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found_names(sources: Sequence[str]) -> list[str]:
    paths, errors = find_images(sources)
    assert errors == []
    return [path.as_posix() for path in paths]


def test_suffixes_are_lower_case_and_sorted() -> None:
    assert list(IMAGE_SUFFIXES) == sorted(suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"} == set(IMAGE_SUFFIXES)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], []),
        (["b.jpg"], ["b.jpg"]),
        (["notes.txt", "noext"], ["notes.txt", "noext"]),  # named explicitly: read_image goes by content
        (["."], ["[x].bmp", "a.PNG", "b.jpg", "c.JPEG"]),
        (["sub", "b.jpg"], ["sub/d.webp", "b.jpg"]),
        (["b.jpg", "sub"], ["b.jpg", "sub/d.webp"]),
        (["*.jpg"], ["b.jpg"]),
        (["[x].bmp"], ["[x].bmp"]),  # a name that is there is no pattern
        (["[ab].*"], ["a.PNG", "b.jpg"]),
        (["sub/*"], ["sub/d.webp"]),
        (["sub/**"], ["sub/d.webp", "sub/deep/e.tif"]),
        (["**/*.tif"], ["sub/deep/e.tif"]),
        (["?.jpg", "b.jpg", "./b.jpg", "."], ["b.jpg", "[x].bmp", "a.PNG", "c.JPEG"]),
    ],
)
def test_find_images(sources: list[str], expected: list[str]) -> None:
    assert found_names(sources) == expected


def test_find_images_by_absolute_pattern_and_name(photos: Path) -> None:
    assert found_names([f"{photos}/**/*.webp"]) == [(photos / "sub/d.webp").as_posix()]
    assert found_names(["b.jpg", str(photos / "b.jpg")]) == ["b.jpg"]


@pytest.mark.usefixtures("photos")
def test_bad_sources_do_not_stop_the_others() -> None:
    paths, errors = find_images(["missing.jpg", "b.jpg", "none", "*.gif", "", "sub"])

    assert [path.as_posix() for path in paths] == ["b.jpg", "sub/d.webp"]
    assert all(isinstance(error, InputError) and "\n" not in str(error) for error in errors)
    messages = [str(error) for error in errors]
    assert [message.split(": expected an image file")[0] for message in messages] == [
        "missing.jpg",
        "none",
        "*.gif",
        "''",
    ]
    assert [message.rsplit(", got ")[1] for message in messages] == [
        "no such file",
        "a folder without any",
        "no such file",
        "no such file",
    ]
    assert all(".bmp .jfif .jpe .jpeg .jpg .png .tif .tiff .webp" in message for message in messages)


def test_hidden_files_are_passed_over(photos: Path) -> None:
    for name in ("._b.jpg", ".hidden.png", "sub/._d.webp"):
        (photos / name).touch()
    assert found_names(["."]) == found_names(["*"]) == ["[x].bmp", "a.PNG", "b.jpg", "c.JPEG"]
    assert found_names(["**/*.webp"]) == ["sub/d.webp"]
    assert found_names(["._b.jpg"]) == ["._b.jpg"]


def test_brackets_stand_for_themselves_where_a_pattern_matches_nothing(photos: Path) -> None:
    (photos / "trip [1]").mkdir()
    for name in ("trip [1]/a [b].jpg", "trip [1]/c.jpg"):
        (photos / name).touch()
    assert found_names(["trip [1]/*.jpg"]) == ["trip [1]/a [b].jpg", "trip [1]/c.jpg"]
    assert found_names(["trip ?1?/*[b].*"]) == ["trip [1]/a [b].jpg"]
    assert found_names(["[x].*"]) == ["[x].bmp"]
    assert found_names(["[b].*"]) == ["b.jpg"]


def test_kinds_that_are_passed_over(photos: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.gif", "._d.gif", "e.mp4", "f.tar.gz", "g.ZIP", "h.gz"):
        (photos / name).touch()
    (photos / "lost.png").symlink_to("nowhere")
    os.mkfifo(photos / "pipe.jpg")
    kinds = [".gif (1)", ".heic (2)", ".mp4 (1)", ".tar.gz (1)", ".zip (1)", "broken links (1)"]
    told = ", ".join([*kinds, "folders with images (1)", "special files (1)"])
    assert find_passed_over(".") == find_passed_over("*") == told
    assert find_passed_over("b.jpg") == find_passed_over("missing.jpg") == find_passed_over("sub/**/*.tif") == ""
    assert find_passed_over("*.heic") == ".heic (1)"
    assert find_passed_over("*.mp4") == ""  # such a pattern takes them
    paths, (error,) = find_images(["c.*g*f"])
    assert paths == []
    assert str(error).endswith("got only .gif (1)")


def test_folder_that_cannot_be_listed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(self))

    monkeypatch.setattr(Path, "iterdir", refuse)

    paths, errors = find_images([str(photos), "b.jpg"])

    assert paths == [Path("b.jpg")]
    assert [str(error) for error in errors] == [
        f"{photos}: expected an image file, a folder or a pattern, got: Permission denied"
    ]
