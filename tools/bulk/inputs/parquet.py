"""Images in parquet files, with the bytes of an image file in each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from detection.errors import InputError
from detection.formats.dataset_results.partition import import_parquet
from detection.sources.picture import Picture, encoded_picture, failed_picture
from tools.bulk.inputs.item import NO_PLACE, Columns, Item, printable
from tools.bulk.inputs.stores import StoreError, describe, open_stored

ROWS_AT_ONCE = 16
"""The number of rows that are decoded together. Parquet itself reads a page of a column at least."""


def list_parquet(source: str, name: str, columns: Columns) -> Iterator[Item]:
    """Yield the images of a parquet file; one with an error stands for a damaged file.

    Args:
        source: the address of the file.
        name: its path from the input.
        columns: the names of the columns.

    Raises:
        InputError: naming the file, if a column is missing: that is a wrong option rather than a bad image.
        StoreError: if the store of the file does not answer.
    """
    try:
        with _opened(source) as (file, length):
            _require_columns(file, source, columns)
            row = 0
            for batch in file.iter_batches(columns=[columns.key]):
                for key in batch.column(0).to_pylist():
                    error = "" if key is not None else f"{source}: row {row}: expected a key, got none"
                    yield Item(printable(str(key)), source, row, length, error)
                    row += 1
    except (InputError, StoreError):
        raise
    except Exception as error:  # the errors of pyarrow and of stores are of many types
        yield Item(name, source, NO_PLACE, error=_damage(source, error).line)


def parquet_pictures(source: str, items: Sequence[Item], columns: Columns) -> Iterator[Picture]:
    """Yield the pictures of some rows of a parquet file, in its order."""
    wanted = {item.place: item for item in items}
    reason = f"{source}: expected the row of the list, got a shorter file"
    try:
        with _opened(source) as (file, _):
            for row, content in _contents(file, set(wanted), columns.image):
                yield _picture(wanted.pop(row), content)
    except StoreError:
        raise
    except Exception as error:  # the errors of pyarrow and of stores are of many types
        reason = _damage(source, error).line
    for item in wanted.values():
        yield failed_picture(item.key, InputError(item.error or reason))


def _contents(file: Any, rows: set[int], column: str) -> Iterator[tuple[int, Any]]:
    """Yield the wanted rows with their value in a column; only the groups that hold some are read."""
    first = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        end = first + count
        if rows.isdisjoint(range(first, end)):
            first = end
            continue
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column]):
            for row in sorted(rows.intersection(range(first, first + batch.num_rows))):
                yield row, batch.column(0)[row - first].as_py()
            first += batch.num_rows
            if rows.isdisjoint(range(first, end)):
                break  # the rest of the group need not be decoded
        first = end


def _picture(item: Item, content: Any) -> Picture:
    name = f"{item.source}: {item.key}"
    if isinstance(content, dict):  # a data set of Hugging Face has a record with the bytes and the path
        content = content.get("bytes")
    if item.error or not isinstance(content, bytes):
        got = type(content).__name__
        return failed_picture(item.key, InputError(item.error or f"{name}: expected the bytes of an image, got {got}"))
    return encoded_picture(name, content, stem="")


@contextmanager
def _opened(source: str) -> Iterator[tuple[Any, int]]:
    """Yield a parquet file that is open, and its length in bytes."""
    with open_stored(source) as opened:
        length = opened.seek(0, 2)
        opened.seek(0)
        yield import_parquet().ParquetFile(opened), length


def _require_columns(file: Any, source: str, columns: Columns) -> None:
    names = file.schema_arrow.names
    for option, column in (("key", columns.key), ("image", columns.image)):
        if column not in names:
            raise InputError(
                f"{source}: expected a column '{column}' (--{option}-column), got: {', '.join(names) or 'none'}"
            )


def _damage(source: str, error: Exception) -> InputError:
    return InputError(f"{source}: expected a whole parquet file, got: {describe(error)}")
