"""The list of all images of the inputs, the same at each run: sorted by file, then in the order of the file."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from detection.errors import InputError
from detection.formats.dataset_results.manifest import MANIFEST
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES
from tools.bulk.inputs.archives import list_archive
from tools.bulk.inputs.item import PARQUET_SUFFIXES, SHARD_SUFFIXES, Columns, Item, printable
from tools.bulk.inputs.parquet import list_parquet
from tools.bulk.inputs.stores import StoredFile, attempt, find_store, is_local

MAGIC = re.compile(r"[*?\[]")
"""The characters that make a text a pattern."""


def list_items(inputs: Sequence[str], columns: Columns, output: Path | None = None) -> list[Item]:
    """Return the images of all inputs.

    An input is a folder, with all folders below it, a file, or a pattern; on this machine, or by an address such as
    `s3://bucket/photos` in a store. The second image with a key has an error. So has what cannot be read, such as the
    rest of a damaged archive.

    Args:
        inputs: the paths, patterns and addresses.
        columns: the names of the columns in parquet files.
        output: a folder of this machine; if it has results of this command, they are not taken for inputs.

    Raises:
        InputError: naming the input, if there is none, it has no images or cannot be listed, or a column is missing.
    """
    items: list[Item] = []
    results = Path(os.path.realpath(output)) if output is not None and (output / MANIFEST).exists() else None
    for address in inputs:
        before = len(items)
        for source, name, size in _files(address, results):
            items += _file_items(source, name, size, columns)
        if len(items) == before:
            kinds = " ".join((*IMAGE_SUFFIXES, *SHARD_SUFFIXES))
            raise InputError(f"{address}: expected images, or archives or parquet files with some ({kinds}), got none")
    return list(_with_repeated_keys(items))


def _files(address: str, results: Path | None) -> list[tuple[str, str, int]]:
    """Return the address, the path from the input, and the length of each file of an input, sorted by the path."""
    if not address:
        raise InputError("--input: expected a path, a pattern or an address, got an empty text")
    stored = find_store(address)
    root, details = attempt(lambda: _list(stored, address), address)
    if results is not None and is_local(stored.store):
        details = {
            path: detail for path, detail in details.items() if not Path(os.path.realpath(path)).is_relative_to(results)
        }
    if not details:
        raise InputError(f"{address}: expected a file, a folder or a pattern, found no file there")
    files = []
    for path, detail in details.items():
        name = path.removeprefix(root).lstrip("/")
        if detail["type"] != "directory" and _is_taken(PurePosixPath(name)):
            files.append((StoredFile(stored.store, path).address, printable(name), int(detail.get("size") or 0)))
    return sorted(files, key=lambda file: file[1])


def _list(stored: StoredFile, address: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the folder from which the paths of an input count, and all files of the input with what is known of them.

    Of a pattern, it is the folder before the first part with a star.
    """
    store, path = stored
    store.invalidate_cache()
    if MAGIC.search(address) and not store.exists(path):
        # The working folder, which the path of a relative pattern begins with, may have brackets in its name too.
        steps, parts = address.split("/"), PurePosixPath(path).parts
        first = next(place for place, step in enumerate(steps) if MAGIC.search(step))
        variable = parts[-len([step for step in steps[first:] if step]) :]
        root = str(PurePosixPath(*parts[: -len(variable)])) if len(variable) < len(parts) else ""
        return root, store.glob(str(PurePosixPath(glob.escape(root), *variable)), detail=True)
    if store.isfile(path):
        return str(PurePosixPath(path).parent), {path: store.info(path)}
    return path, store.find(path, detail=True)


def _is_taken(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    taken = path.name.lower().endswith((*IMAGE_SUFFIXES, *SHARD_SUFFIXES))
    return taken and not hidden and not path.name.endswith(ANNOTATED_SUFFIX)


def _file_items(source: str, name: str, size: int, columns: Columns) -> Iterator[Item]:
    lower = source.lower()
    if lower.endswith(PARQUET_SUFFIXES):
        return list_parquet(source, name, columns)
    if lower.endswith(SHARD_SUFFIXES):
        return list_archive(source, name)
    return iter([Item(name, source, size=size)])


def _with_repeated_keys(items: Sequence[Item]) -> Iterator[Item]:
    """Yield the items; the second one with a key, and later ones, get an error."""
    first: dict[str, str] = {}
    for item in items:
        earlier = first.get(item.key)
        first.setdefault(item.key, item.source)
        if earlier is None or item.error:
            yield item
        else:
            repeated = f"{item.source}: expected each key once, got '{item.key}' again, which {earlier} has too"
            yield item._replace(error=repeated)
