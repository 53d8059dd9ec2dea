"""Frames of videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.errors import InputError
from detection.sources import videos
from detection.sources.videos import video_pictures
from tests.detection.conftest import run_python
from tests.detection.sources.video_files import RATE, STEP, write_video


def numbers(path: Path, every: int = 1) -> list[int]:
    """Return the numbers of the frames that are yielded, read from their pixels."""
    return [round(float(picture.read()[:, 48:].mean()) / STEP) for picture in video_pictures(path, every=every)]


@pytest.mark.parametrize("name", ["film.mp4", "film.avi", "film.mkv"])
@pytest.mark.parametrize(("every", "expected"), [(1, range(30)), (7, range(0, 30, 7)), (30, [0]), (1000, [0])])
def test_every_nth_frame(name: str, every: int, expected: range, tmp_path: Path) -> None:
    assert numbers(write_video(tmp_path / name), every) == list(expected)


def test_a_frame_is_an_image_with_a_name_and_a_moment(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4")
    first, second = list(video_pictures(path, every=20))
    assert (first.name, second.name) == (f"{path}/frame_000000", f"{path}/frame_000020")
    assert (second.stem, second.folder, second.path) == ("film_frame_000020", tmp_path, None)
    assert second.moment is not None
    assert second.moment.frame == 20
    assert second.moment.seconds == pytest.approx(20 / RATE, abs=0.01)
    assert second.moment.rate == pytest.approx(RATE)
    image = second.read()
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    red, green, blue = image[:, :28].mean(axis=(0, 1))
    assert red > 180
    assert max(green, blue) < 30


@pytest.mark.parametrize("name", ["film.avi", "film.mkv"])
def test_a_video_that_is_cut_short_ends_with_a_word(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    *frames, last = list(video_pictures(path))
    assert 5 < len(frames) < 27
    with pytest.raises(InputError) as caught:
        last.read()
    assert str(caught.value) == (
        f"{path}: expected 30 frames, got {len(frames)}: the video is cut short or damaged there"
    )


def test_a_video_that_lacks_few_frames_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "film.mp4")
    for expected, whole in ((33, True), (34, False)):
        monkeypatch.setattr(videos, "_frame_count", lambda *_, expected=expected: expected)
        assert (len(list(video_pictures(path))) == 30) == whole


def write_nothing(path: Path) -> None:
    path.touch()


def write_text(path: Path) -> None:
    path.write_text("text " * 1000)


def write_beginning(path: Path) -> None:
    """An MP4 file has its list of frames at the end."""
    write_video(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("write", [write_nothing, write_text, write_beginning])
def test_what_is_no_video(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path)
    (picture,) = video_pictures(path)
    with pytest.raises(InputError, match=r"film\.mp4: expected a readable video, got a file that is damaged"):
        picture.read()


@pytest.mark.parametrize("write", [write_nothing, write_beginning])
def test_ffmpeg_and_opencv_print_nothing(write: Callable[[Path], None], tmp_path: Path) -> None:
    """They would print to the standard error of the process, in words of their own."""
    write(tmp_path / "film.mp4")
    code = f"""
from pathlib import Path
from detection.sources.videos import video_pictures
print(len(list(video_pictures(Path({str(tmp_path / "film.mp4")!r})))))
"""
    out, err = run_python(code).communicate()
    assert (out, err) == ("1\n", "")


def test_a_video_that_is_not_there(tmp_path: Path) -> None:
    (picture,) = video_pictures(tmp_path / "film.mp4")
    with pytest.raises(InputError, match=r"film\.mp4: expected a video, got no such file"):
        picture.read()


def test_frames_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "MAX_PIXELS", 48 * 64 - 1)
    (picture,) = video_pictures(write_video(tmp_path / "film.mp4"))
    with pytest.raises(InputError, match="expected at most 3071 pixels in a frame, got 64 x 48"):
        picture.read()


def test_a_name_that_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a:b %03d.mp4", frames=3)
    assert len(list(video_pictures(Path("a:b %03d.mp4")))) == 3
