"""The writer of a cache of proposals. It may be killed at any moment; the next one continues."""

import os
import zlib
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Any, Self

from detection.errors import InputError
from detection.runtime.atomic_write import naming_target, write_all, write_atomically
from detection.runtime.file_fingerprint import FileFingerprint, fingerprint_file
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from proposals.cache.index import (
    IndexedImage,
    first_line,
    index_line,
    index_path,
    last_line,
    read_index,
    require_same_files,
    require_settings,
)
from proposals.cache.reader import require_length
from proposals.cache.stored_boxes import STORED_BOX, store_boxes


class CacheWriter:
    """Makes a cache that `proposals.cache.reader.ProposalCache` reads, or continues one.

        with CacheWriter(path, settings) as writer:
            writer.add(record, (375, 500), proposals)
            writer.finish()

    Nothing is written before the `with` block. In the block, the system has the data when `add` returns, so a process
    that is killed loses only the image that it is writing, and the next writer removes the incomplete data. Only one
    process at a time may write.

    Args:
        path: the file of boxes; its index is beside it. Missing folders are created.
        settings: the settings of the run that makes the proposals, which JSON can store.

    Attributes:
        finished: True if the cache is complete.
        box_count: the number of boxes of all images.

    Raises:
        InputError: naming the file, if it is a broken cache, a cache made with other settings, or no cache.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.index = index_path(self.path)
        self.settings = settings
        self.finished = False
        self._files: dict[str, FileFingerprint] = {}
        self.box_count = 0
        self._index_length = 0
        if self.index.exists():
            self._continue()
        elif self.path.exists():
            raise InputError(
                f"{self.path}: expected the index {self.index.name} beside it; it is no cache of proposals, or has "
                "lost its index"
            )

    def _continue(self) -> None:
        """Read the index of the cache that is there."""
        index = read_index(self.index)
        require_settings(self.path, index.settings, self.settings)
        self.box_count = sum(image.box_count for image in index.images)
        require_length(self.path, self.box_count, more=not index.finished)
        self._files = {image.image_id: image.file for image in index.images}
        self._index_length = index.length
        self.finished = index.finished

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._files

    def missing(self, records: Iterable[GroundTruth]) -> list[GroundTruth]:
        """Return the records whose images are not in the cache.

        Raises:
            InputError: naming the file, if the cache has an image of the same name that was another file.
        """
        records = list(records)
        require_same_files(self.path, records, self._files)
        return [record for record in records if record.image_id not in self]

    def __enter__(self) -> Self:
        """Open the files, and remove incomplete data from their ends."""
        with naming_target(self.path, expected="to write proposals there"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._index_length:
                line = first_line(self.settings)
                write_atomically(self.index, line)
                self._index_length = len(line)
            self._box_file = FileIO(self.path, "r+" if self.path.exists() else "x+")
            self._index_file = FileIO(self.index, "r+")
            lengths = {self._box_file: self.box_count * STORED_BOX.itemsize, self._index_file: self._index_length}
            for file, length in lengths.items():
                file.truncate(length)
                file.seek(length)
        self.finished = False
        return self

    def __exit__(self, *_: object) -> None:
        self._box_file.close()
        self._index_file.close()

    def add(
        self, record: GroundTruth, size: tuple[int, int], proposals: Proposals, file: FileFingerprint | None = None
    ) -> None:
        """Append the proposals of an image of `size` (height, width).

        `file` is the fingerprint of its file from before the image was read; by default that of the file as it is now.

        Raises:
            InputError: naming the file, if the cache cannot be written, or the image file is missing.
            ValueError: if the cache has the image already, a box lies outside the image, or a score is nan.
        """
        image_id = record.image_id
        if image_id in self:
            raise ValueError(f"expected each image once, got {image_id} again")
        try:
            stored = store_boxes(proposals, size).tobytes()
        except ValueError as error:
            raise ValueError(f"proposals of image {image_id}: {error}") from error
        height, width = size
        length, *rest = file = file or fingerprint_file(record.path)
        image = IndexedImage(image_id, int(height), int(width), length, len(proposals), zlib.crc32(stored), *rest)
        with naming_target(self.path, expected="to write proposals there"):
            write_all(self._box_file, stored)
            write_all(self._index_file, index_line(image))
        self._files[image_id] = file
        self.box_count += len(proposals)

    def finish(self) -> None:
        """Mark the cache as finished, when all of it is on the disk.

        Raises:
            InputError: naming the file, if it cannot be written.
        """
        with naming_target(self.path, expected="to write proposals there"):
            os.fsync(self._box_file.fileno())
            write_all(self._index_file, last_line(len(self), self.box_count))
            os.fsync(self._index_file.fileno())
        self.finished = True
