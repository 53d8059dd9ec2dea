"""The pictures of consecutive items of the list, which are read one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby

from detection.errors import InputError
from detection.image import decode_image
from detection.sources.picture import Picture
from detection.structures.arrays import Image
from tools.bulk.inputs.archives import archive_pictures
from tools.bulk.inputs.item import PARQUET_SUFFIXES, SHARD_SUFFIXES, Columns, Item
from tools.bulk.inputs.parquet import parquet_pictures
from tools.bulk.inputs.stores import read_range


def item_pictures(items: Iterable[Item], columns: Columns) -> Iterator[Picture]:
    """Yield the picture of each item in order; an archive or table is opened once for its consecutive items.

    Reading a picture raises an `InputError` for a bad image, and an `OSError` if a store does not answer.
    """
    for source, group in groupby(items, key=lambda item: item.source):
        if source.lower().endswith(PARQUET_SUFFIXES):
            yield from parquet_pictures(source, list(group), columns)
        elif source.lower().endswith(SHARD_SUFFIXES):
            yield from archive_pictures(source, list(group))
        else:
            yield from (Picture(item.key, partial(_read_file, item), stem="") for item in group)


def _read_file(item: Item) -> Image:
    if item.error:
        raise InputError(item.error)
    return decode_image(read_range(item.source), name=item.source)
