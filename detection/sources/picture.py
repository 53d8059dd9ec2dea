"""`Picture`: an image that has a name but is read only when it is needed."""

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, NoReturn

from detection.errors import InputError
from detection.image import decode_image, read_image
from detection.structures.arrays import Image

MAX_BYTES = 150
"""The longest name of a file that is made, without numbers and suffix; file systems allow 255 bytes."""

FORBIDDEN = frozenset('<>:"/\\|?*')
"""Characters that names of files may not have on some operating system."""


class Moment(NamedTuple):
    """The place of a frame in a video: its number, from 0, and its time in seconds.

    `rate` is the number of frames in a second of the video.
    """

    frame: int
    seconds: float
    rate: float


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of a source, which is read when `read` is called.

    Attributes:
        name: stands for the image in messages and records, such as "photo.jpg", "album.zip/2024/photo.jpg" or
            "film.mp4/frame_000120".
        read: returns the image. It raises an `InputError` that begins with the name or the file.
        stem: what the names of output files begin with. It has no folder, and other images may have the same.
        folder: where output files lie if the user names no folder.
        path: the file, if the image is a file of its own.
        moment: the place in a video, if the image is a frame of one.
    """

    name: str
    read: Callable[[], Image] = field(repr=False)
    stem: str
    folder: Path = Path()
    path: Path | None = None
    moment: Moment | None = None


def file_picture(path: Path) -> Picture:
    """Return the picture of an image file or a pipe."""
    folder = Path() if _is_pipe(path) else path.parent  # a pipe lies in a folder of the system
    return Picture(str(path), partial(read_image, path), path.stem, folder, path)


def _is_pipe(path: Path) -> bool:
    with suppress(OSError):  # of a name that no file can have, or of a folder that may not be entered
        return path.is_fifo()
    return False


def encoded_picture(name: str, content: bytes, *, stem: str, folder: Path = Path()) -> Picture:
    """Return the picture of an image file whose content is in memory."""
    return Picture(name, partial(decode_image, content, name=name), safe_name(stem), folder)


def failed_picture(name: str, error: InputError) -> Picture:
    """Return a picture that stands for an image or a source that cannot be read: `read` raises the error."""

    def fail() -> NoReturn:
        raise error

    return Picture(name, fail, safe_name(name))


def safe_name(text: str) -> str:
    """Return a text as the name of a file that all operating systems allow, and that is not hidden."""
    letters = (
        "_" if letter in FORBIDDEN or unicodedata.category(letter) in ("Cc", "Cs", "Cn") else letter for letter in text
    )
    name = unicodedata.normalize("NFC", "".join(letters)).encode()[:MAX_BYTES].decode(errors="ignore")
    return name.strip(". ") or "_"


def numbered_names(name: str) -> Iterator[str]:
    """Yield a name, and then the same name with the numbers from 2 on: "photo", "photo_2", "photo_3" and so on."""
    yield name
    for number in count(2):
        yield f"{name}_{number}"
