"""The folder of the results, which an interrupted command goes on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.formats.dataset_results.manifest import COMMAND, MANIFEST, Manifest, read_manifest, write_manifest
from detection.formats.dataset_results.partition import ImageRow, partition_path, read_partition, write_partition
from detection.formats.settings import first_difference
from detection.runtime.atomic_write import remove_unfinished
from detection.runtime.command_end import holding_signals


class OutputFolder:
    """The partitions of a run: those that are finished, and those that are still to be done.

    Args:
        path: the folder, which is created by `begin` if there is none.
        expected: the manifest of a run that begins, without its class names.

    Raises:
        InputError: naming the folder or file, if it is no folder of this command, or one with results of other
            software, of another detector or of other images.
    """

    def __init__(self, path: Path, expected: Manifest) -> None:
        self.path = path
        self._expected = expected
        self._manifest = _read_earlier(path, expected)

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is now."""
        return self._manifest or self._expected

    def missing(self, *, redo_errors: bool = False) -> list[int]:
        """Return the numbers of the partitions to do: those without a whole file, and with `redo_errors` more.

        Args:
            redo_errors: also return those with an image that could not be read.
        """
        kept = {
            number
            for number, part in self.manifest.finished.items()
            if _has_length(partition_path(self.path, number), part.bytes) and not (redo_errors and part.errors)
        }
        return [number for number in range(self.manifest.partitions) if number not in kept]

    def begin(self, class_names: Sequence[str]) -> None:
        """Write the manifest, unless there is one, and delete what a killed command has left half written.

        Raises:
            InputError: naming the file, if it cannot be written.
        """
        remove_unfinished(self.path)
        if self._manifest is None:
            self._manifest = dataclasses.replace(self._expected, class_names=tuple(class_names))
            write_manifest(self.path, self._manifest)

    def write(self, number: int, rows: Sequence[ImageRow]) -> None:
        """Write a partition, and list it in the manifest.

        Raises:
            InputError: naming the file that cannot be written, for example because the disk is full.
        """
        part = write_partition(self.path, number, rows, self.manifest.versions)
        finished = {**self.manifest.finished, number: part}
        self._manifest = dataclasses.replace(self.manifest, finished=finished)
        with holding_signals():
            write_manifest(self.path, self._manifest)

    def write_all(
        self, rows: Iterable[tuple[int, int, ImageRow]], size_of: Callable[[int], int], done: Callable[[int], Any]
    ) -> None:
        """Write each partition as soon as all of its rows are there.

        Args:
            rows: the number of the partition, the place in it, and the row of each image, in any order.
            size_of: returns the number of images of a partition.
            done: called with the number of rows that were added.
        """
        waiting: dict[int, dict[int, ImageRow]] = {}
        for number, place, row in rows:
            partition = waiting.setdefault(number, {})
            partition[place] = row
            done(1)
            if len(partition) == size_of(number):
                self.write(number, [row for _, row in sorted(waiting.pop(number).items())])

    def first_error(self) -> str:
        """Return the first error of an image, or "" if there is none."""
        for number, part in sorted(self.manifest.finished.items()):
            if part.errors:
                errors = read_partition(self.path, number, ["error"])["error"].to_pylist()
                return next(filter(None, errors), "")
        return ""


def _read_earlier(path: Path, expected: Manifest) -> Manifest | None:
    """Return the manifest of the run that this one goes on with, or None if there is none."""
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: expected a folder to write to, got a file")
        if not (path / MANIFEST).exists():
            if path.exists() and any(path.iterdir()):
                raise InputError(f"{path}: expected a new or empty folder, or one of {COMMAND}, got one with files")
            return None
    except OSError as error:
        raise InputError(f"{path}: expected a folder to write to, got: {error.strerror}") from None
    earlier = read_manifest(path)
    for kind in ("settings", "versions"):  # the versions have a checksum of the settings, which tells a user less
        difference = first_difference(dict(getattr(earlier, kind)), dict(getattr(expected, kind)))
        if difference is not None:
            name, wanted, stored = difference
            raise InputError(
                f"{path}: this folder has results of another run: {name} was {stored}, and is {wanted} now; choose "
                "another --output"
            )
    return earlier


def _has_length(path: Path, length: int) -> bool:
    return path.is_file() and path.stat().st_size == length
