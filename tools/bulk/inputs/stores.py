"""Files of this machine and of object stores, through fsspec.

An address such as `s3://bucket/folder` names a store; anything else is a path on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from detection.errors import InputError, reason_of

Result = TypeVar("Result")

PAUSES = (1.0, 4.0)
"""Seconds to wait before the second and the third attempt to read from a store."""

REFUSALS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""The errors that concern one file. They would occur again, so that there is no second attempt."""


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
        OSError: if the store fails in another way, also at the third attempt.
    """
    file = find_store(source)
    content: bytes = attempt(lambda: file.store.cat_file(file.path, start=start, end=end), source)
    return content


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
                raise OSError(getattr(error, "errno", None) or 0, reason, source) from error
            time.sleep(pause)
    raise AssertionError  # the last attempt returns or raises


def describe(error: Exception) -> str:
    """Return the reason of an error in one line."""
    return " ".join(reason_of(error).split())
