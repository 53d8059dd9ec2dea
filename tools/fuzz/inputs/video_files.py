"""Damaged videos."""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from detection.sources.videos import video_pictures
from tools.fuzz.inputs.image_files import read_each
from tools.fuzz.inputs.mutations.byte_changes import change_bytes, pick

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "jpeg", ".webm": "VP80"}
"""The code of the compression of an example, by its suffix."""

FRAMES = 12


class Videos:
    """Damaged videos, of which all frames are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.examples = {suffix: _encode(folder / f"example{suffix}", code) for suffix, code in CODECS.items()}
        self.path = folder / "film.mp4"

    def write(self, random: Generator) -> None:
        """Write a video that is cut short, or has other changes of its bytes."""
        self.path.unlink(missing_ok=True)
        suffix = pick(tuple(self.examples), random)
        content = self.examples[suffix]
        self.path = self.folder / f"film{suffix}"
        cut = content[: int(random.integers(len(content)))]
        self.path.write_bytes(cut if random.random() < 0.2 else change_bytes(content, random))

    def read(self) -> None:
        """Read all frames, each of which may be refused; raise the last error if none can be read."""
        read_each(video_pictures(self.path))


def _encode(path: Path, code: str) -> bytes:
    """Return a video of a square that moves."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 25, (64, 48))
    for number in range(FRAMES):
        frame = np.full((48, 64, 3), 90, np.uint8)
        frame[10:30, 3 * number : 3 * number + 20] = (20, 160, 220)
        writer.write(frame)
    writer.release()
    content = path.read_bytes()
    path.unlink()
    return content
