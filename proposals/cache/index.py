"""The index of a cache of proposals: a text file beside the file of boxes, with one line of JSON for each image.

The first line holds the format and the settings, and the last line of a finished cache the numbers of images and boxes.
A line is written after the boxes that it counts; so if a run is killed, all that it left is valid up to the last
complete line. `reader.py` and `writer.py` read and write both files; `stored_boxes.py` is the format of the boxes.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.formats.settings import first_difference
from detection.structures.ground_truth import GroundTruth

FORMAT = "inception-rcnn proposals"
VERSION = 2
"""Version 2 added the source of each box and the file size of each image."""


class IndexedImage(NamedTuple):
    """An image of the cache: its size, the bytes of its file, the number of its boxes, and their CRC-32."""

    image_id: str
    height: int
    width: int
    file_size: int
    box_count: int
    checksum: int


class CacheIndex(NamedTuple):
    """The content of an index.

    `settings` of the run that made the cache; `images` in the order of their boxes; `finished`, True if there is a last
    line; `length` in bytes up to the end of the line of the last image.
    """

    settings: dict[str, Any]
    images: list[IndexedImage]
    finished: bool
    length: int


def index_path(path: Path) -> Path:
    """Return the path of the index of the cache whose boxes are in the file `path`."""
    return path.with_name(f"{path.name}.index")


def first_line(settings: dict[str, Any]) -> bytes:
    """Return the first line of an index. JSON makes lists of tuples and text of paths."""
    return index_line({"format": FORMAT, "version": VERSION, "settings": settings})


def last_line(images: int, boxes: int) -> bytes:
    """Return the line that ends a finished index."""
    return index_line({"images": images, "boxes": boxes})


def index_line(content: Any) -> bytes:
    """Return a line of an index, such as that of an `IndexedImage`."""
    return json.dumps(content, default=str).encode("ascii") + b"\n"


def read_index(path: Path) -> CacheIndex:
    """Read an index; an incomplete last line is skipped.

    Raises:
        InputError: naming the file, and the line if there is one, if it is missing, of another format or version, or
            broken.
    """
    try:
        head, *lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: expected the index of a cache of proposals: {error.strerror}") from None
    settings = _read_first_line(path, head if lines else b"")
    length = len(head) + 1
    images: list[IndexedImage] = []
    finished = False
    for number, line in enumerate(lines[:-1], start=2):
        image = None if finished else _read_image_line(line)
        if image is not None:
            images.append(image)
            length += len(line) + 1
        elif not finished and line + b"\n" == last_line(len(images), sum(image.box_count for image in images)):
            finished = True
        else:
            raise InputError(f"{path}:{number}: expected an image and its number of boxes, got {line[:80]!r}")
    if len({image.image_id for image in images}) < len(images):
        raise InputError(f"{path}: expected each image once, got {len(images)} lines with duplicates")
    return CacheIndex(settings, images, finished and not lines[-1], length)


def _read_first_line(path: Path, line: bytes) -> dict[str, Any]:
    """Return the settings in the first line of an index."""
    content = _parse(line)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: expected the index of a cache of proposals, got {line[:80]!r} in its first line")
    settings = content.get("settings")
    if content.get("version") != VERSION or not isinstance(settings, dict):
        raise InputError(
            f"{path}: expected a cache of proposals of version {VERSION}, got version {content.get('version')}; delete "
            "it and make it again"
        )
    return settings


def _read_image_line(line: bytes) -> IndexedImage | None:
    """Return the image that a line describes, or None if it describes none."""
    content = _parse(line)
    if not isinstance(content, list) or [type(value) for value in content] != [str, *[int] * 5]:
        return None
    image = IndexedImage(*content)
    valid = image.height > 0 and image.width > 0 and image.file_size >= 0 and image.box_count >= 0
    return image if valid else None


def _parse(line: bytes) -> Any:
    """Return the JSON content of a line, or None if there is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def require_same_file(path: Path, record: GroundTruth, cached_size: int) -> None:
    """Check that the image file of `record` has `cached_size` bytes, as the file that the proposals were made from.

    Two data sets may give their images the same names, such as numbers, but hardly files of the same sizes.

    Raises:
        InputError: naming the cache, if the size differs.
    """
    if (size := file_size(record.path)) != cached_size:
        raise InputError(
            f"{path}: expected proposals of {record.path}, {size} bytes, got those of an image '{record.image_id}' of "
            f"{cached_size} bytes; the cache is of another data set, or the image has changed"
        )


def file_size(path: Path) -> int:
    """Return the length of an image file in bytes.

    Raises:
        InputError: naming the file, if it cannot be read.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: expected an image file: {error.strerror}") from None


def require_settings(path: Path, cached: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check that a cache was made with the settings `expected`; any others that it has besides are ignored.

    Raises:
        InputError: naming the cache and the first setting that differs.
    """
    compared = {name: cached[name] for name in expected if name in cached}
    if difference := first_difference(compared, expected):
        name, wanted, actual = difference
        raise InputError(f"{path}: expected a cache made with {name} {wanted}, got one with {actual}")
