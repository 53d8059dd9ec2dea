"""`Clip` writes a file when all frames are there, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.cli.clip import Clip
from detection.errors import InputError
from detection.structures.arrays import Image

FRAME = np.zeros((16, 32, 3), np.uint8)


def write(path: Path, *frames: Image, rate: float = 10.0, error: BaseException | None = None) -> None:
    """Write frames to a clip, and then raise the error, if there is one."""
    with Clip(path) as clip:
        for frame in frames:
            clip.add(frame, rate)
        if error is not None:
            raise error


def test_a_clip_without_frames_is_not_written(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [InputError("a fault"), KeyboardInterrupt()])
def test_an_error_leaves_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "clip.mp4").write_text("earlier")
    with pytest.raises(type(error)):
        write(tmp_path / "clip.mp4", FRAME, error=error)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_text() == "earlier"


def test_frames_that_are_not_written_are_noticed(tmp_path: Path) -> None:
    """OpenCV itself says nothing, neither of a full disk nor of a frame of another size."""
    with pytest.raises(InputError, match=r"clip\.mp4: expected to write a clip of 3 frames, got 2"):
        write(tmp_path / "clip.mp4", FRAME, FRAME[:8], FRAME)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a place to write to"):
        write(tmp_path / "file" / "clip.avi", FRAME)


@pytest.mark.parametrize(
    ("size", "rate", "expected"),
    [
        ((1, 1), 10.0, "1x1 px at 10 per second"),
        ((9000, 17000), 10.0, "17000x9000 px at 10 per second"),
        ((16, 32), 0.0, "32x16 px at 0 per second"),
    ],
)
def test_the_first_frame_shows_that_a_format_cannot_hold_it(
    tmp_path: Path, size: tuple[int, int], rate: float, expected: str
) -> None:
    frame = np.broadcast_to(np.uint8(0), (*size, 3))
    with pytest.raises(InputError, match=rf"clip\.MP4: expected a video that \.mp4 can hold, got frames of {expected}"):
        write(tmp_path / "clip.MP4", frame, rate=rate)
    assert list(tmp_path.iterdir()) == []
