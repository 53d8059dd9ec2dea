from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from detection.datasets.layouts.pictures import same_content, size_of_whole_file
from detection.errors import InputError
from tests.detection.datasets.layouts.drawn_folders import draw

SUFFIXES = ("jpg", "png", "webp", "bmp", "tif")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_that_is_cut_off_is_found(suffix: str, tmp_path: Path) -> None:
    path = draw(tmp_path / f"a.{suffix}", size=(640, 480))
    whole = path.read_bytes()
    assert size_of_whole_file(path) == (480, 640)
    for length in (len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"a\.{suffix}: expected a readable image, got: "):
            size_of_whole_file(path)


def test_bytes_behind_the_end_of_a_photo_do_no_harm(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(100_000))  # as in photos with a film behind them
    assert size_of_whole_file(path) == (60, 80)


def test_same_content(tmp_path: Path) -> None:
    first, second, third = (draw(tmp_path / name, name[0]) for name in ("a.png", "b.png", "a2.png"))
    PIL.Image.new("RGB", (5, 5)).save(tmp_path / "c.png")
    assert first.stat().st_size == third.stat().st_size
    assert same_content([first, second, third, tmp_path / "c.png", first]) == [[first, third]]
    assert same_content([]) == []
    assert same_content([first, first]) == []
