"""Small videos, in which the brightness of a frame tells its number."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

STEP = 8
"""The difference in brightness between a frame and the next one."""

RATE = 10.0
"""Frames per second."""


def write_video(path: Path, frames: int = 30, size: tuple[int, int] = (48, 64)) -> Path:
    """Write grey frames of `size` (height, width); the left half is red, so that exchanged channels are noticed."""
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, RATE, size[::-1])
    for number in range(frames):
        frame = np.full((*size, 3), number * STEP, np.uint8)
        frame[:, : size[1] // 2] = (0, 0, 200)  # blue, green, red
        writer.write(frame)
    writer.release()
    return path
