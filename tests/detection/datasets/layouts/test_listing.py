from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from detection.datasets.layouts.listing import FileIndex, list_folder
from detection.errors import InputError


def touch(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_hidden_files_are_passed_over_and_links_followed(tmp_path: Path) -> None:
    touch(tmp_path / "data", "b.jpg", "a.PNG", ".c.jpg", ".git/d.jpg", "__MACOSX/e.jpg", "notes.txt")
    touch(tmp_path / "elsewhere", "f.jpg")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")  # a circle
    listing = list_folder(tmp_path / "data")
    assert [listing.relative(path) for path in listing.images] == ["a.PNG", "b.jpg", "linked/f.jpg"]
    assert [listing.relative(path) for path in listing.with_suffix(".txt")] == ["notes.txt"]


def test_folder_of_the_images(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/1.jpg", "train/images/2.jpg", "val/images/1.jpg", "val/images/3.jpg")
    listing = list_folder(tmp_path)
    beside = tmp_path / "all.json"
    assert listing.image_folder(["1.jpg", "2.jpg"], beside) == tmp_path / "train" / "images"
    assert listing.image_folder(["images/1.jpg", "images/3.jpg"], beside) == tmp_path / "val"
    assert listing.image_folder(["train/images/1.jpg"], beside) == tmp_path
    # Both folders have this image; the one near the file is taken.
    assert listing.image_folder(["1.jpg"], tmp_path / "val" / "all.json") == tmp_path / "val" / "images"
    assert listing.image_folder(["4.jpg"], beside) == tmp_path


@pytest.mark.parametrize(
    ("name", "near", "found"),
    [
        ("2.jpg", "list.txt", "a/2.jpg"),
        ("2", "list.txt", "a/2.jpg"),
        (r"C:\data\a\1.jpg", "list.txt", "a/1.jpg"),
        ("/home/someone/b/1.jpg", "list.txt", "b/1.jpg"),
        ("1", "b/1.xml", "b/1.jpg"),
        ("1", "annotations/b/1.xml", "b/1.jpg"),
        ("v1.5", "list.txt", "a/v1.5.jpg"),
        ("3.png", "list.txt", "a/3.png"),
    ],
)
def test_file_of_a_name(tmp_path: Path, name: str, near: str, found: str) -> None:
    files = touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.jpg", "a/v1.5.jpg", "a/3.jpg", "a/3.png")
    assert FileIndex(files).find(name, tmp_path / near) == tmp_path / found


def test_name_without_a_file_or_with_two(tmp_path: Path) -> None:
    files = touch(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(InputError, match=r"expected a file '2\.jpg' in the folder or below, got none"):
        FileIndex(files).find("2.jpg", tmp_path / "list.txt")
    message = f"expected one file '1', got {tmp_path}{os.sep}a/1.jpg and {tmp_path}{os.sep}b/1.jpg"
    with pytest.raises(InputError, match=re.escape(message)):
        FileIndex(files).find("1", tmp_path / "list.txt")
