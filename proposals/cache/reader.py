"""The reader of a cache of proposals, which `detect-propose` makes and training and evaluation read.

`ProposalCache` is the reader; `CacheFile` opens it at the first use, and is what configurations name.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.errors import InputError
from detection.runtime.file_fingerprint import FileFingerprint
from detection.structures.arrays import FloatArray, IntArray
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from proposals.cache.index import index_path, read_index, require_same_files, require_settings
from proposals.cache.stored_boxes import STORED_BOX, grid_step, restore_boxes


class ProposalCache:
    """The proposals of many images: `cache[image_id]`, best first, rounded as `proposals.cache.stored_boxes` says.

    The file of boxes (eleven bytes each, scores included) is mapped into memory, so processes share its pages. A
    pickled cache is only its path, and is opened again where it is unpickled.

    Args:
        path: the file of boxes; its index is beside it.

    Raises:
        InputError: naming the file, if it or its index is missing, broken, truncated, or of another format or version,
            or if the run that makes it has not finished.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists() and not index_path(self.path).exists():
            raise InputError(f"{self.path}: no such cache of proposals; make it with detect-propose")
        index = read_index(index_path(self.path))
        if not index.finished:
            raise InputError(
                f"{self.path}: expected a finished cache of proposals, got one with {len(index.images)} images so far; "
                "run detect-propose again to go on"
            )
        self.settings: dict[str, Any] = index.settings
        self._rows = {image.image_id: row for row, image in enumerate(index.images)}
        columns = np.array([image[1:] for image in index.images], np.int64).reshape(-1, 8)
        self._sizes, counts, self._checksums, self._files = columns[:, :2], *columns[:, 3:5].T, columns[:, [2, 5, 6, 7]]
        self._ends = np.concatenate([[0], np.cumsum(counts)])
        require_length(self.path, int(self._ends[-1]))
        # An empty file cannot be mapped.
        mapped = np.memmap(self.path, STORED_BOX, "r") if self._ends[-1] else np.empty(0, STORED_BOX)
        self._boxes = np.asarray(mapped)  # slices of an array are made faster than those of a memmap

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __getitem__(self, image_id: str) -> Proposals:
        """Return the proposals of an image, best first.

        Raises:
            InputError: naming the file, if the boxes of this image are damaged.
            KeyError: if the cache does not have the image; see `require`.
        """
        return restore_boxes(self._stored(image_id), self.size(image_id))

    def boxes_of(self, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """Return the boxes [P, 4] of n images, one after the other, and the number of each [n]; raises as `[]` does."""
        stored = [self._stored(image_id) for image_id in image_ids]
        counts = np.array([len(image_boxes) for image_boxes in stored], np.int64)
        steps = np.array([grid_step(self.size(image_id)) for image_id in image_ids], np.float32)
        corners = np.concatenate([image_boxes["corners"] for image_boxes in stored]) if stored else np.empty((0, 4))
        return corners.astype(np.float32) * np.repeat(steps, counts)[:, None], counts

    def _stored(self, image_id: str) -> NDArray[Any]:
        """Return the boxes [N] of an image in their stored form."""
        row = self._rows[image_id]
        stored = self._boxes[self._ends[row] : self._ends[row + 1]]
        if zlib.crc32(stored.tobytes()) != self._checksums[row]:
            raise InputError(
                f"{self.path}: expected the boxes of image '{image_id}' as they were written, got damaged ones; delete "
                "the file and its index, and make them again"
            )
        return stored

    def size(self, image_id: str) -> tuple[int, int]:
        """Return the size (height, width) that an image had when its proposals were made."""
        height, width = self._sizes[self._rows[image_id]].tolist()
        return height, width

    def require(self, records: Iterable[GroundTruth]) -> None:
        """Check that the cache has the proposals of all images, made from the same files.

        Raises:
            InputError: naming the first image that is missing, had another size than its annotation, or was another
                file.
        """
        records = list(records)
        missing = [record.image_id for record in records if record.image_id not in self]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"{self.path}: expected proposals of image '{missing[0]}'{others}, got none; add them with "
                "detect-propose"
            )
        rows = [self._rows[record.image_id] for record in records]
        fingerprints = [FileFingerprint(*file) for file in self._files[rows].tolist()]
        names = [record.image_id for record in records]
        require_same_files(self.path, records, dict(zip(names, fingerprints, strict=True)))
        for record in records:
            record.require_size(self.size(record.image_id))

    def checksum(self) -> str:
        """Return the CRC-32 of all boxes and of their numbers, as eight hexadecimal digits."""
        return f"{zlib.crc32(self._ends.tobytes(), zlib.crc32(self._checksums.tobytes())):08x}"

    def require_settings(self, expected: dict[str, Any]) -> None:
        """Check that the cache was made with the settings `expected`.

        Raises:
            InputError: naming the first setting that differs.
        """
        require_settings(self.path, self.settings, expected)


class CacheFile:
    """A `ProposalCache` that is opened at its first use, for configurations that may not use it.

    Args:
        path: see `ProposalCache`; its errors are raised at the first use.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def _cache(self) -> ProposalCache:
        return ProposalCache(self.path)

    def require(self, records: Iterable[GroundTruth]) -> None:
        self._cache.require(records)

    def __getitem__(self, image_id: str) -> Proposals:
        return self._cache[image_id]

    def boxes_of(self, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        return self._cache.boxes_of(image_ids)


def require_length(path: Path, boxes: int, *, more: bool = False) -> None:
    """Check that a file holds this number of boxes, or with `more` at least this number.

    Raises:
        InputError: naming the file, if it does not.
    """
    length, expected = path.stat().st_size if path.is_file() else 0, boxes * STORED_BOX.itemsize
    if length < expected or (length > expected and not more):
        raise InputError(
            f"{path}: expected {expected} bytes of boxes as its index says, got {length}; delete both files and make "
            "them again"
        )
