"""The index of a cache of proposals: a text file beside the file of boxes, one line of JSON an image.

The first line has the format and the settings, the last one of a finished cache the number of images and boxes. A line
is written after the boxes that it counts, so that what a killed run has left is whole up to the last complete line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth

FORMAT = "inception-rcnn proposals"
VERSION = 2
"""2: boxes have sources, images the size of their file."""


class IndexedImage(NamedTuple):
    """An image, the bytes of its file, the number of its boxes and the CRC-32 of theirs."""

    image_id: str
    height: int
    width: int
    file_size: int
    box_count: int
    checksum: int


class CacheIndex(NamedTuple):
    """What an index says.

    `settings` the cache was made with; `images` in the order of their boxes; `finished`, whether there is a last line;
    `length` in bytes up to and with the line of the last image.
    """

    settings: dict[str, Any]
    images: list[IndexedImage]
    finished: bool
    length: int


def index_path(path: Path) -> Path:
    """The index of the cache whose boxes are in the file `path`."""
    return path.with_name(f"{path.name}.index")


def first_line(settings: dict[str, Any]) -> bytes:
    """The line that starts an index. Settings become what JSON makes of them: tuples lists, paths text."""
    return _line({"format": FORMAT, "version": VERSION, "settings": settings})


def image_line(image: IndexedImage) -> bytes:
    """The line of an image."""
    return _line(image)


def last_line(images: int, boxes: int) -> bytes:
    """The line that ends a finished index."""
    return _line({"images": images, "boxes": boxes})


def _line(content: Any) -> bytes:
    return json.dumps(content, default=str).encode("ascii") + b"\n"


def as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as an index gives them back."""
    stored: dict[str, Any] = json.loads(first_line(settings))["settings"]
    return stored


def read_index(path: Path) -> CacheIndex:
    """Read an index; a last line that is cut short is passed over.

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
    """The settings."""
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: expected the index of a cache of proposals, got {line[:80]!r} in its first line")
    if content.get("version") != VERSION or not isinstance(content.get("settings"), dict):
        raise InputError(
            f"{path}: expected a cache of proposals of version {VERSION}, got version {content.get('version')}; delete "
            "it and make it anew"
        )
    settings: dict[str, Any] = content["settings"]
    return settings


def _read_image_line(line: bytes) -> IndexedImage | None:
    """The image, or None if the line has none."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not isinstance(content, list) or [type(value) for value in content] != [str, *[int] * 5]:
        return None
    image = IndexedImage(*content)
    valid = image.height > 0 and image.width > 0 and image.file_size >= 0 and image.box_count >= 0
    return image if valid else None


def require_same_file(path: Path, record: GroundTruth, cached_size: int) -> None:
    """See whether the image whose file had `cached_size` bytes when it was cached is that of `record`.

    Two data sets may call their images alike, by numbers for one; that their files are of the same sizes is unlikely.

    Raises:
        InputError: naming the cache, if it is not.
    """
    if (found := file_size(record.path)) != cached_size:
        raise InputError(
            f"{path}: expected proposals of {record.path}, {found} bytes, got those of an image '{record.image_id}' of "
            f"{cached_size} bytes; the cache is of another data set, or the image has changed"
        )


def file_size(path: Path) -> int:
    """The length of a file in bytes.

    Raises:
        InputError: naming it, if it cannot be had.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: expected an image file: {error.strerror}") from None


def require_settings(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """See whether a cache was made with the settings `expected`; those that it has beside them do not matter.

    Raises:
        InputError: naming the cache and the first setting that differs.
    """
    expected = as_stored(expected)
    wanted, there = _flatten(expected), _flatten({name: found[name] for name in expected if name in found})
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise InputError(
                f"{path}: expected a cache made with {name} {wanted.get(name, 'left out')}, got one with "
                f"{there.get(name, 'none')}"
            )


def _flatten(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _flatten(value) if isinstance(value, dict) else None
        flat |= {name: value} if inner is None else {f"{name}.{key}": of_key for key, of_key in inner.items()}
    return flat
