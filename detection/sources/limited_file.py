"""`LimitedFile`: a file of a stranger that cannot make its reader use more memory or time than is allowed."""

import io
from typing import BinaryIO


class LimitedFile(io.RawIOBase):
    """A binary file for reading and seeking, with limits that bound what a reader can be made to do.

    Python's readers of archives trust the numbers in a file: they read a list of files, or a name, of any size at once.

    Args:
        file: the file to read, compressed or not.
        at_once: the largest number of bytes that may be read at once; it can be changed later.
        length: the last position that may be reached, in bytes from the beginning; None for any.
    """

    def __init__(self, file: BinaryIO, *, at_once: int, length: int | None = None) -> None:
        self.file = file
        self.at_once = at_once
        self.length = length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self._check(offset)
        return self.file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or the rest of the file.

        Raises:
            ValueError: if a limit is exceeded.
        """
        if size is None or size < 0:
            content = self.file.read(self.at_once + 1)
            size = len(content)
        else:
            content = None
        if size > self.at_once:
            raise ValueError(f"{size} bytes at once, more than the limit of {self.at_once}")
        if content is None:
            content = self.file.read(size)
        self._check(self.file.tell())
        return content

    def _check(self, position: int) -> None:
        if self.length is not None and position > self.length:
            raise ValueError(f"more than {self.length} bytes when unpacked, the limit for this file")
