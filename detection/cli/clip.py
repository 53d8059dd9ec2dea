"""`Clip`: a video of annotated frames, written by OpenCV as they come."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from detection.errors import InputError
from detection.runtime.atomic_write import atomic_path
from detection.structures.arrays import Image

CODECS = {".avi": "MJPG", ".mp4": "mp4v"}
"""The code of the compression of each kind of file that can be written, by its suffix."""


class Clip:
    """A context in which frames are added to a video file; the file appears under its name when the block has ended.

    After an error in the block, or without frames, no file is written, and an earlier one stays.

    Args:
        path: the file, with one of the suffixes in `CODECS`.
        every: the number of frames of the video for each one that is added.

    Raises:
        InputError: naming the file, if it cannot be written.
    """

    def __init__(self, path: Path, *, every: int = 1) -> None:
        self.path = path
        self.every = every
        self._count = 0
        self._files = ExitStack()
        self._temporary = path
        self._writer: Any = None

    def __enter__(self) -> "Clip":
        return self

    def add(self, image: Image, rate: float) -> None:
        """Add a frame [H, W, 3] of a video with this number of frames per second; all frames have the same size.

        Raises:
            InputError: naming the file, if it cannot be created, or its format does not allow this size or rate.
        """
        import cv2  # noqa: PLC0415  slow to import, and only needed for videos

        if self._writer is None:
            self._temporary = self._files.enter_context(atomic_path(self.path))
            suffix, (height, width) = self.path.suffix.lower(), image.shape[:2]
            code = cv2.VideoWriter.fourcc(*CODECS[suffix])
            self._writer = cv2.VideoWriter(str(self._temporary), code, rate / self.every, (width, height))
            if not self._writer.isOpened():
                raise InputError(
                    f"{self.path}: expected a video that {suffix} can hold, got frames of {width}x{height} px at "
                    f"{rate / self.every:g} per second"
                )
        self._writer.write(np.ascontiguousarray(image[:, :, ::-1]))  # OpenCV has blue first
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        with self._files:
            self._writer.release()
            if error is not None:
                raise error
            self._check()

    def _check(self) -> None:
        """Raise an `InputError` if the file does not have all frames, because OpenCV reports no errors of writing."""
        import cv2  # noqa: PLC0415

        written = cv2.VideoCapture(str(self._temporary.absolute()))
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if count < self._count:
            raise InputError(
                f"{self.path}: expected to write a clip of {self._count} frames, got {count}; the disk may be full"
            )
