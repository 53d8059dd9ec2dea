"""Frames of videos, read by OpenCV: `video_pictures` yields every n-th frame."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError
from detection.image import MAX_PIXELS
from detection.sources.picture import Moment, Picture, failed_picture
from detection.structures.arrays import Image

MISSING_SHARE = 0.02
"""The share of its frames that a video may lack without being called cut short. Some formats do not store the number of
frames, and OpenCV then estimates it from the duration."""

SILENT = 0
"""The level of OpenCV's log that has no messages."""

USUAL_RATE = 25.0
"""Frames per second of a video that does not tell it."""

MISSING_FRAMES = 3
"""The number of frames that a video may lack in any case."""


def video_pictures(path: Path, *, every: int = 1) -> Iterator[Picture]:
    """Yield every n-th frame of a video, beginning with the first one, turned upright and decoded.

    If the video cannot be read, or ends before its end, a last picture stands for that: its `read` raises an
    `InputError`.

    Args:
        path: a file.
        every: the step n from a frame to the next one that is taken, at least 1.
    """
    number = 0
    try:
        with _open(path) as capture:
            expected = _frame_count(path, capture)
            while capture.grab():
                if number % every == 0:
                    yield _picture(path, number, capture)
                number += 1
        if number < expected - max(MISSING_FRAMES, MISSING_SHARE * expected):
            raise InputError(
                f"{path}: expected {expected} frames, got {number}: the video is cut short or damaged there"
            )
        if not number:
            raise InputError(f"{path}: expected a video with frames, got none")
    except InputError as error:
        yield failed_picture(str(path), error)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Yield OpenCV's reader of a video.

    Raises:
        InputError: naming the file, if it is no readable video.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # otherwise FFmpeg itself prints what is wrong with a file
    import cv2  # noqa: PLC0415  slow to import, and only needed for videos

    if not path.is_file():
        raise InputError(f"{path}: expected a video, got no such file")
    set_level = getattr(getattr(cv2.utils, "logging", cv2), "setLogLevel")  # noqa: B009  OpenCV 4 has it in cv2
    level = set_level(SILENT)  # otherwise it prints that it cannot open a file
    # A relative path may look like an address or a pattern to OpenCV.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    set_level(level)
    try:
        if not capture.isOpened():
            raise InputError(f"{path}: expected a readable video, got a file that is damaged or in an unknown format")
        yield capture
    finally:
        capture.release()


def _frame_count(path: Path, capture: Any) -> int:
    """Return the number of frames that a video should have, or 0 if that is not known."""
    import cv2  # noqa: PLC0415

    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: expected at most {MAX_PIXELS} pixels in a frame, got {width} x {height}")
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))


def _picture(path: Path, number: int, capture: Any) -> Picture:
    """Return the picture of the frame that was grabbed last."""
    import cv2  # noqa: PLC0415

    name = f"{path}/frame_{number:06}"
    good, frame = capture.retrieve()
    if not good:
        return failed_picture(name, InputError(f"{name}: expected a whole frame, got a damaged one"))
    pixels: Image = np.ascontiguousarray(frame[:, :, ::-1])  # OpenCV has blue first
    seconds, rate = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, capture.get(cv2.CAP_PROP_FPS)
    moment = Moment(number, round(seconds, 3), rate if 0 < rate < 1000 else USUAL_RATE)
    return Picture(name, lambda: pixels, f"{path.stem}_frame_{number:06}", path.parent, moment=moment)
