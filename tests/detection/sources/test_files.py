"""`expand` finds the images of a file, a folder or a pattern."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.sources.files import IMAGE_SUFFIXES, expand, find_passed_over


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


def image_names(source: str) -> list[str]:
    return [path.as_posix() for path in expand(source)]


def test_suffixes_are_lower_case_and_sorted() -> None:
    assert list(IMAGE_SUFFIXES) == sorted(suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"} == set(IMAGE_SUFFIXES)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("b.jpg", ["b.jpg"]),
        ("./b.jpg", ["b.jpg"]),
        ("notes.txt", ["notes.txt"]),  # named explicitly: read_image goes by content
        ("noext", ["noext"]),
        (".", ["[x].bmp", "a.PNG", "b.jpg", "c.JPEG"]),
        ("sub", ["sub/d.webp"]),
        ("*.jpg", ["b.jpg"]),
        ("?.jpg", ["b.jpg"]),
        ("[x].bmp", ["[x].bmp"]),  # a name that is there is no pattern
        ("[ab].*", ["a.PNG", "b.jpg"]),
        ("sub/*", ["sub/d.webp"]),
        ("sub/**", ["sub/d.webp", "sub/deep/e.tif"]),
        ("**/*.tif", ["sub/deep/e.tif"]),
    ],
)
def test_images_of_a_source(source: str, expected: list[str]) -> None:
    assert image_names(source) == expected


def test_absolute_pattern_and_name(photos: Path) -> None:
    assert image_names(f"{photos}/**/*.webp") == [(photos / "sub/d.webp").as_posix()]
    assert image_names(str(photos / "b.jpg")) == [(photos / "b.jpg").as_posix()]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("source", "name", "actual"),
    [
        ("missing.jpg", "missing.jpg", "no such file"),
        ("none", "none", "a folder without any"),
        ("*.gif", r"\*\.gif", "no such file"),
        ("", "''", "no such file"),
    ],
)
def test_source_without_images(source: str, name: str, actual: str) -> None:
    suffixes = ".bmp .jfif .jpe .jpeg .jpg .png .tif .tiff .webp"
    expected = rf"expected an image file, or a folder or pattern with some \({suffixes}\)"
    with pytest.raises(InputError, match=f"^{name}: {expected}, got {actual}$"):
        expand(source)


def test_hidden_files_are_passed_over(photos: Path) -> None:
    for name in ("._b.jpg", ".hidden.png", "sub/._d.webp"):
        (photos / name).touch()
    assert image_names(".") == image_names("*") == ["[x].bmp", "a.PNG", "b.jpg", "c.JPEG"]
    assert image_names("**/*.webp") == ["sub/d.webp"]
    assert image_names("._b.jpg") == ["._b.jpg"]


def test_brackets_stand_for_themselves_where_a_pattern_matches_nothing(photos: Path) -> None:
    (photos / "trip [1]").mkdir()
    for name in ("trip [1]/a [b].jpg", "trip [1]/c.jpg"):
        (photos / name).touch()
    assert image_names("trip [1]/*.jpg") == ["trip [1]/a [b].jpg", "trip [1]/c.jpg"]
    assert image_names("trip ?1?/*[b].*") == ["trip [1]/a [b].jpg"]
    assert image_names("[x].*") == ["[x].bmp"]
    assert image_names("[b].*") == ["b.jpg"]


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
    with pytest.raises(InputError, match=r"got only \.gif \(1\)$"):
        expand("c.*g*f")


def test_folder_that_cannot_be_listed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(self))

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(InputError, match=f"^{photos}: expected an image file, a folder or a pattern, got: Permission"):
        expand(str(photos))
