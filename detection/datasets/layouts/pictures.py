"""Checks that image files can be read and have the stated size, and finds files with the same content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from detection.datasets.dataset import Entry
from detection.errors import InputError
from detection.image import read_image, read_image_size

TAIL = 4096
"""The number of bytes at the end of a file in which its end marker is looked for."""


def find_image_faults(entries: Sequence[Entry]) -> dict[Path, InputError]:
    """Return the faults of image files by path, from their headers and ends; damage between them is not noticed."""
    with ThreadPoolExecutor() as threads:
        faults = threads.map(_image_fault, entries)
        return {entry.record.path: fault for entry, fault in zip(entries, faults, strict=True) if fault is not None}


def _image_fault(entry: Entry) -> InputError | None:
    """Return the error of an image that cannot be read, or whose size is not the one that its annotation states."""
    try:
        entry.stated_record().require_size(size_of_whole_file(entry.record.path))
    except InputError as error:
        return error
    return None


def size_of_whole_file(path: Path) -> tuple[int, int]:
    """Return the size (height, width) of an image from its header; a file that may be cut off is decoded.

    Raises:
        InputError: if the file cannot be read, or is truncated.
    """
    size = read_image_size(path)
    if not _has_its_end(path):
        read_image(path)
    return size


def _has_its_end(path: Path) -> bool:
    """Return True if a JPEG has the marker of its end, or a WebP the stated length; False for a BMP.

    PNG and TIFF files need no check here, since `read_image_size` has decoded them.
    """
    with path.open("rb") as file:
        start = file.read(12)
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL))
        end = file.read()
    if start.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in end
    if start.startswith(b"RIFF"):
        return length >= 8 + int.from_bytes(start[4:8], "little")
    return not start.startswith(b"BM")


def same_content(paths: Iterable[Path]) -> list[list[Path]]:
    """Return groups of two or more files with the same content. Only files of the same length are read.

    Every file is compared with all others of its length. Among 100,000 files, some would have the same CRC-32 by
    chance, so the checksum of `FileFingerprint` is too short here.
    """
    by_length: defaultdict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_length[path.stat().st_size].append(path)
    by_content: defaultdict[bytes, list[Path]] = defaultdict(list)
    for group in by_length.values():
        for path in group if len(group) > 1 else ():
            by_content[hashlib.sha256(path.read_bytes()).digest()].append(path)
    return [group for group in by_content.values() if len(group) > 1]
