"""Files of this machine and of object stores, through fsspec.

An address such as `s3://bucket/folder` names a store; anything else is a path on this machine.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, TypeVar

from detection.errors import InputError, reason_of

Result = TypeVar("Result")

PAUSES = (1.0, 4.0)
"""Seconds to wait before the second and the third attempt to read from a store."""

REFUSALS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""The errors that concern one file. They would occur again, so that there is no second attempt."""


class StoreError(OSError):
    """A store did not answer, also at the third attempt."""


class StoredFile(NamedTuple):
    """A file in a store: the file system of fsspec, and the path there."""

    store: Any
    path: str

    @property
    def address(self) -> str:
        """The path on this machine, or the address with the protocol of the store."""
        return self.path if is_local(self.store) else str(self.store.unstrip_protocol(self.path))


def find_store(address: str) -> StoredFile:
    """Return the store that an address or path names, and the path there.

    Raises:
        InputError: naming the address, if there is no such kind of store, or its package is not installed.
    """
    import fsspec  # noqa: PLC0415  takes time

    try:
        return StoredFile(*fsspec.core.url_to_fs(address))
    except Exception as error:  # each store raises errors of its own
        raise InputError(f"{address}: expected a path or the address of a store, got: {describe(error)}") from None


def is_local(store: Any) -> bool:
    """Return True for the files of this machine."""
    protocols = store.protocol if isinstance(store.protocol, tuple | list) else (store.protocol,)
    return "file" in protocols


def read_range(source: str, start: int | None = None, end: int | None = None) -> bytes:
    """Return the bytes of a file, or those from `start` up to `end`.

    Raises:
        InputError: naming the file, if there is none or the store refuses to give it.
        StoreError: if the store fails in another way, also at the third attempt.
    """
    file = find_store(source)
    content: bytes = attempt(lambda: file.store.cat_file(file.path, start=start, end=end), source)
    return content


@contextmanager
def open_stored(source: str) -> Iterator[BinaryIO]:
    """Yield a file that is open for reading; each read from a store has three attempts.

    Raises:
        StoreError: from whatever reads the file, if the store does not answer.
        OSError: if the file cannot be opened.
    """
    file = find_store(source)
    with file.store.open(file.path, "rb") as opened:
        if is_local(file.store):
            yield opened
            return
        try:
            yield io.BufferedReader(_RetryingFile(opened, source))
        except _NoAnswer as error:
            raise error.reason from None


class _NoAnswer(Exception):  # noqa: N818  it never reaches a caller
    """Carries a `StoreError` through the readers of archives, which take an `OSError` for a damaged file."""

    def __init__(self, reason: StoreError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _RetryingFile(io.RawIOBase):
    """A file of a store; a read that fails is repeated."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        place = self._file.tell()

        def read() -> bytes:
            self._file.seek(place)
            return self._file.read(len(buffer))

        try:
            content = attempt(read, self._source)
        except StoreError as error:
            raise _NoAnswer(error) from None
        buffer[: len(content)] = content
        return len(content)


def attempt(read: Callable[[], Result], source: str) -> Result:
    """Return the result of a function that reads from a store, which may fail twice; raises what `read_range` does."""
    for pause in (*PAUSES, None):
        try:
            return read()
        except REFUSALS as error:
            raise InputError(f"{source}: expected a file that can be read, got: {describe(error)}") from None
        except InputError:
            raise
        except Exception as error:  # each store raises errors of its own
            if pause is None:
                reason = f"expected the store to answer, got: {describe(error)}"
                raise StoreError(getattr(error, "errno", None) or 0, reason, source) from error
            time.sleep(pause)
    raise AssertionError  # the last attempt returns or raises


def describe(error: Exception) -> str:
    """Return the reason of an error in one line."""
    return " ".join(reason_of(error).split())
