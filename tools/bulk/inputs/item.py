"""`Item`: an image of the list, by the file that holds it and its place there."""

from __future__ import annotations

from typing import NamedTuple

from detection.sources.files import TAR_SUFFIXES, ZIP_SUFFIXES

PARQUET_SUFFIXES = (".parquet", ".pq")

SHARD_SUFFIXES = (*TAR_SUFFIXES, *ZIP_SUFFIXES, *PARQUET_SUFFIXES)
"""The suffixes, in lower case, of files that hold several images of a data set."""


NO_PLACE = -1
"""The place of an item that stands for a whole archive or table that cannot be read further."""


class Columns(NamedTuple):
    """The columns of a parquet file with the key and with the bytes of each image file."""

    key: str
    image: str


class Item(NamedTuple):
    """An image of the list.

    Attributes:
        key: the name of its row: the path from the input; in a tar archive the name of the member without the suffix;
            in a zip archive the path of the archive and the name of the member; in a parquet file the key column.
        source: the address of the file that holds it, or the path on this machine.
        place: the position of the member of a zip archive, the first byte of that of a tar archive, or the row of the
            parquet file; 0 for a file of its own.
        size: the number of bytes of the image, in a parquet file of the whole file.
        error: a line of text, if the image cannot be read for a reason that the list already shows.
    """

    key: str
    source: str
    place: int = 0
    size: int = 0
    error: str = ""


def printable(name: str) -> str:
    """Return a name as text that UTF-8 can encode; names of files may have any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()
