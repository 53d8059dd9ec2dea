"""The index of a cache of proposals: a text file beside the file of boxes, with one line of JSON for each image.

The first line holds the format and the settings, and the last line of a finished cache the numbers of images and boxes.
A line is written after the boxes that it counts; so if a run is killed, all that it left is valid up to the last
complete line. `reader.py` and `writer.py` read and write both files; `stored_boxes.py` is the format of the boxes.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.formats.settings import first_difference
from detection.runtime.file_fingerprint import FileFingerprint, file_length
from detection.structures.ground_truth import GroundTruth

FORMAT = "inception-rcnn proposals"
VERSION = 3
"""Version 3 added the times and the checksum of the file of each image."""

READABLE = (2, VERSION)
"""The versions that are read. In caches of version 2, the file of an image is known by its length alone."""

UNKNOWN = -1
"""Stands for the times and the checksum of a file in caches of version 2."""

ANOTHER_FILE = "the cache is of another data set, or the image has changed"
"""The reasons for which the file of an image is not the one in the cache."""

ADDED_SETTINGS = {"weights"}
"""The settings that caches of version 2 do not have."""


class IndexedImage(NamedTuple):
    """An image of the cache: its size, the number of its boxes and their CRC-32, and the fingerprint of its file.

    The last fields and `file_size` are those of a `FileFingerprint`.
    """

    image_id: str
    height: int
    width: int
    file_size: int
    box_count: int
    checksum: int
    modified: int = UNKNOWN
    changed: int = UNKNOWN
    file_crc32: int = UNKNOWN

    @property
    def file(self) -> FileFingerprint:
        """The fingerprint of the file of the image."""
        return FileFingerprint(self.file_size, self.modified, self.changed, self.file_crc32)


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
    if content.get("version") not in READABLE or not isinstance(settings, dict):
        raise InputError(
            f"{path}: expected a cache of proposals of version {VERSION}, got version {content.get('version')}; delete "
            "it and make it again"
        )
    return settings


def _read_image_line(line: bytes) -> IndexedImage | None:
    """Return the image that a line describes, or None if it describes none."""
    content = _parse(line)
    types = [type(value) for value in content] if isinstance(content, list) else []
    if types not in ([str, *[int] * 5], [str, *[int] * 8]):
        return None
    image = IndexedImage(*content)
    valid = image.height > 0 and image.width > 0 and image.file_size >= 0 and image.box_count >= 0
    return image if valid and all(-(2**63) <= number < 2**63 for number in content[1:]) else None


def _parse(line: bytes) -> Any:
    """Return the JSON content of a line, or None if there is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def require_same_files(path: Path, records: Iterable[GroundTruth], files: Mapping[str, FileFingerprint]) -> None:
    """Check that the image files of `records` are those that the proposals in the cache `path` were made from.

    Two data sets may give their images the same names, such as numbers, and an image may have been replaced. For images
    of version 2 only the lengths of the files are compared, and a line on standard error says so.

    Args:
        path: the cache.
        records: the images, of which some may not be in the cache.
        files: the fingerprints of the files in the cache, by the names of the images.

    Raises:
        InputError: naming the cache and the first image whose file is another one, or cannot be read.
    """
    unknown = 0
    for record in records:
        file = files.get(record.image_id)
        if file is None:
            continue
        unknown += file.crc32 == UNKNOWN
        if (length := file_length(record.path)) != file.length:
            raise InputError(
                f"{path}: expected proposals of {record.path}, {length} bytes, got those of an image "
                f"'{record.image_id}' of {file.length} bytes; {ANOTHER_FILE}"
            )
        if file.crc32 != UNKNOWN and not file.matches(record.path):
            raise InputError(
                f"{path}: expected proposals of {record.path}, got those of a file with the same length and other "
                f"content; {ANOTHER_FILE}"
            )
    if unknown:
        sys.stderr.write(
            f"{path}: an older version made the proposals of {unknown} images, and stored only the lengths of their "
            "files; make the cache again if images were replaced by others of the same length\n"
        )


def require_settings(path: Path, cached: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check that a cache was made with the settings `expected`; any others that it has besides are ignored.

    Caches of version 2 lack `ADDED_SETTINGS`, which are not compared then.

    Raises:
        InputError: naming the cache and the first setting that differs.
    """
    compared = {name: cached[name] for name in expected if name in cached}
    expected = {name: value for name, value in expected.items() if name in cached or name not in ADDED_SETTINGS}
    if difference := first_difference(compared, expected):
        name, wanted, actual = difference
        raise InputError(f"{path}: expected a cache made with {name} {wanted}, got one with {actual}")
