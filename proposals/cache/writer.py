"""Writing of a cache of proposals, which may be interrupted at any moment."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from proposals.cache.index import (
    IndexedImage,
    as_stored,
    file_size,
    first_line,
    image_line,
    index_path,
    last_line,
    read_index,
    require_same_file,
    require_settings,
)
from proposals.cache.reader import require_length
from proposals.cache.stored_boxes import STORED_BOX, store_boxes


class CacheWriter:
    """Makes a cache that `proposals.cache.reader.ProposalCache` reads, or goes on with one.

        with CacheWriter(path, settings) as writer:
            writer.add(record, (375, 500), proposals)
            writer.finish()

    Nothing is written before the `with` block. There, every `add` has reached the system when it returns, so a
    killed process loses the image that it was at: the next writer cuts off what is not whole. One process at a time
    may write.

    Args:
        path: the file of boxes; its index lies beside it. Folders are made.
        settings: what the proposals are made with, as JSON has it.

    Raises:
        InputError: naming the file, if there is a cache that is broken or was made with other settings, or something
            else is in its place.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.index = index_path(self.path)
        self.settings = as_stored(settings)
        self.finished = False
        self._file_sizes: dict[str, int] = {}
        self._box_count = 0
        self._index_length = 0
        if self.index.exists():
            self._take_up()
        elif self.path.exists():
            raise InputError(
                f"{self.path}: expected the index {self.index.name} beside it; it is no cache of proposals, or has "
                "lost its index"
            )

    def _take_up(self) -> None:
        """Find out what is there."""
        index = read_index(self.index)
        require_settings(self.path, index.settings, self.settings)
        self._box_count = sum(image.box_count for image in index.images)
        require_length(self.path, self._box_count, more=not index.finished)
        self._file_sizes = {image.image_id: image.file_size for image in index.images}
        self._index_length = index.length
        self.finished = index.finished

    def __len__(self) -> int:
        """The number of images."""
        return len(self._file_sizes)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._file_sizes

    def missing(self, records: Iterable[GroundTruth]) -> list[GroundTruth]:
        """Those of some images that are still to be added.

        Raises:
            InputError: naming the file, if one that is there was made from another file of the same name.
        """
        records = list(records)
        for record in records:
            if record.image_id in self:
                require_same_file(self.path, record, self._file_sizes[record.image_id])
        return [record for record in records if record.image_id not in self]

    @property
    def box_count(self) -> int:
        """The number of boxes."""
        return self._box_count

    def __enter__(self) -> Self:
        """Open the files, and cut off what is not whole."""
        with self._naming_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._index_length:
                self._start_index()
            self._box_file = FileIO(self.path, "r+" if self.path.exists() else "x+")
            self._index_file = FileIO(self.index, "r+")
            _cut(self._box_file, self._box_count * STORED_BOX.itemsize)
            _cut(self._index_file, self._index_length)
        self.finished = False
        return self

    def _start_index(self) -> None:
        """Put an index without images in its place, whole."""
        line = first_line(self.settings)
        write_atomically(self.index, line)
        self._index_length = len(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._box_file.close()
        self._index_file.close()

    def add(self, record: GroundTruth, size: tuple[int, int], proposals: Proposals) -> None:
        """Append the proposals of an image of `size` (height, width).

        Raises:
            InputError: naming the file, if it cannot be written, or the image's is gone.
            ValueError: if the image is in the cache already, a box lies outside the image, or a score is nan.
        """
        image_id = record.image_id
        if image_id in self:
            raise ValueError(f"expected each image once, got {image_id} again")
        try:
            stored = store_boxes(proposals, size).tobytes()
        except ValueError as error:
            raise ValueError(f"proposals of image {image_id}: {error}") from error
        height, width = size
        image = IndexedImage(
            image_id, int(height), int(width), file_size(record.path), len(proposals), zlib.crc32(stored)
        )
        with self._naming_file():
            _write(self._box_file, stored)
            _write(self._index_file, image_line(image))
        self._file_sizes[image_id] = image.file_size
        self._box_count += len(proposals)

    def finish(self) -> None:
        """Mark the cache as complete, once all of it is on the disk.

        Raises:
            InputError: naming the file, if it cannot be written.
        """
        with self._naming_file():
            os.fsync(self._box_file.fileno())
            _write(self._index_file, last_line(len(self), self._box_count))
            os.fsync(self._index_file.fileno())
        self.finished = True

    @contextmanager
    def _naming_file(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.path}: expected to write proposals there, got: {error.strerror}") from None


def _cut(file: FileIO, length: int) -> None:
    file.truncate(length)
    file.seek(length)


def _write(file: FileIO, content: bytes) -> None:
    """Write all of `content`: a single call may take only a part of it, on a full disk for one."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
