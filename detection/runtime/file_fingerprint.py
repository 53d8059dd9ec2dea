"""The fingerprint of a file, by its content, so that what was computed from a file is not used for another one.

A file that was replaced keeps its name, and an uncompressed picture even its length. So the fingerprint has a
checksum; the times of the file are beside it so that a file that nobody has touched need not be read again.
"""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

from detection.errors import InputError

LARGEST = 2**63 - 1
"""Times after the year 2262, which broken clocks and archives set, are brought below this, so that int64 holds them."""


class FileFingerprint(NamedTuple):
    """The length of a file in bytes, the times in ns at which its content and its entry last changed, and its CRC-32.

    The second time also changes if a program sets the first one, as `cp -p` and archives do.
    """

    length: int
    modified: int
    changed: int
    crc32: int

    def is_same_content(self, other: "FileFingerprint") -> bool:
        """Return True if both are of files with the same content, whatever their times."""
        return (self.length, self.crc32) == (other.length, other.crc32)

    def matches(self, path: Path) -> bool:
        """Return True if the file `path` has the content that this fingerprint is of.

        The file is only read if its length is the same and its times are not.

        Raises:
            InputError: naming the file, if it cannot be read.
        """
        length, *times = _length_and_times(path)
        if length != self.length or times == [self.modified, self.changed]:
            return length == self.length
        return _crc32(path) == self.crc32


def file_length(path: Path) -> int:
    """Return the length of a file in bytes; raises an `InputError` that names the file, if it cannot be read."""
    return _length_and_times(path)[0]


def fingerprint_file(path: Path) -> FileFingerprint:
    """Return the fingerprint of a file.

    Call it before the file is used: if the file is replaced in between, the fingerprint is then of the earlier file,
    and the change is noticed later.

    Raises:
        InputError: naming the file, if it cannot be read.
    """
    return FileFingerprint(*_length_and_times(path), _crc32(path))


def _length_and_times(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116  half the time of `Path.stat`, for each image of a data set
    except OSError as error:
        raise InputError(f"{path}: expected a file: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns & LARGEST, status.st_ctime_ns & LARGEST


def _crc32(path: Path) -> int:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected a file: {error.strerror}") from None
