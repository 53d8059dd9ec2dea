"""Images that are decoded once and kept in a file, so that loaders need not decode them again in each epoch.

This is useful for small images and many epochs. The file takes three bytes for each pixel: 1.2 GB for the 100,000
pictures of Tiny ImageNet, but 0.5 MB for each photo of 500 px.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.errors import InputError
from detection.image import read_image
from detection.runtime.atomic_write import atomic_path, write_atomically
from detection.runtime.file_fingerprint import FileFingerprint, fingerprint_file
from detection.structures.arrays import Image
from detection.training.progress import show_progress

ImageReader = Callable[[Path], Image]
"""A function that returns the pixels of an image file, uint8 [H, W, 3]."""

FORMAT = "inception-rcnn decoded images 2"
"""The second format added the times and the checksums of the files. Earlier ones are refused, as decoding is quick."""

REMEDY = "delete it and its index, and the next run makes them anew"

AT_ONCE = 64
"""Number of images that a process decodes before it returns them."""


class _Entry(NamedTuple):
    """An image: the fingerprint of its file, its height and width, and the offset of its pixels."""

    file: FileFingerprint
    height: int
    width: int
    start: int


class DecodedImages:
    """The pixels of image files: `decoded(path)` equals `read_image(path)`, but must not be modified.

    The file is mapped into memory, so processes share its pages. Pickling keeps only the path; the file is opened again
    in the process that unpickles it.

    Args:
        path: a file that `decode_images` has written; its index is in the same folder.

    Raises:
        InputError: naming the file, if it or its index is missing, broken or truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries, length = _read_index(path)
        size = path.stat().st_size if path.is_file() else 0
        if size != length:
            raise InputError(f"{path}: expected {length} bytes as its index says, got {size}; {REMEDY}")
        # An empty file cannot be mapped.
        self._pixels = np.memmap(path, np.uint8, "r") if length else np.empty(0, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._entries)

    def __call__(self, path: Path) -> Image:
        """Return the pixels [H, W, 3] of a file.

        Raises:
            KeyError: if the file is not among the images; see `require`.
        """
        entry = self._entries[_key(path)]
        end = entry.start + entry.height * entry.width * 3
        return np.asarray(self._pixels)[entry.start : end].reshape(entry.height, entry.width, 3)

    def require(self, paths: Iterable[Path]) -> None:
        """Check that the pixels of all given files are there, and that none of the files has changed since.

        Raises:
            InputError: naming the first file that is missing or has changed.
        """
        for path in paths:
            entry = self._entries.get(_key(path))
            if entry is None:
                raise InputError(f"{self.path}: expected the pixels of {path}, found none; {REMEDY}")
            if not entry.file.matches(path):
                raise InputError(
                    f"{self.path}: expected the pixels of {path} as it is now, got those of an earlier file of "
                    f"{entry.file.length} bytes; {REMEDY}"
                )


def open_or_decode(file: str | None, images: Sequence[Path], *, workers: int) -> ImageReader:
    """Return a reader of `images`: their pixels in a file, or `read_image` if `file` is None.

    If there is no such file yet, `workers` processes write it.

    Raises:
        InputError: naming the image or file that cannot be read or written, or does not fit `images`.
    """
    if file is None:
        return read_image
    path = Path(file)
    if not path.exists():
        decode_images(path, images, workers=workers)
    elif not _index_path(path).exists():  # the index is written first, so this file is not one of ours
        raise InputError(f"{path}: expected its index {_index_path(path).name} beside it, or no file; {REMEDY}")
    decoded = DecodedImages(path)
    decoded.require(images)
    return decoded


def decode_images(path: Path, images: Sequence[Path], *, workers: int) -> None:
    """Write the index of the pixels of `images`, and then the file of the pixels.

    Several processes may do this at once, as those of a distributed run do: each writes a temporary file of its own,
    all of these are equal, and the last one replaces the others.

    Raises:
        InputError: naming the image or file that cannot be read or written.
    """
    entries: dict[str, _Entry] = {}
    start = 0
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as output,
        _decoding(images, workers=workers) as decoded,
        show_progress(iterable=decoded, total=len(images), desc="decoding", unit="images") as progress,
    ):
        for image, (file, pixels) in zip(images, progress, strict=True):
            height, width = pixels.shape[:2]
            entries[_key(image)] = _Entry(file, height, width, start)
            start += output.write(pixels.data)
        index = {"format": FORMAT, "bytes": start, "images": [(name, *entry) for name, entry in entries.items()]}
        write_atomically(_index_path(path), json.dumps(index).encode())


def _key(path: Path) -> str:
    """Return the name of a file in the index: its absolute path without ".."."""
    return os.path.abspath(path)  # noqa: PTH100  several times as fast as Path.resolve, for each sample


@contextmanager
def _decoding(images: Sequence[Path], *, workers: int) -> Iterator[Iterator[tuple[FileFingerprint, Image]]]:
    """Yield an iterator over the fingerprint of the file and the pixels of each image, in order."""
    if workers < 1:
        yield map(_decode, images)
        return
    # A forked process could wait for ever for a lock that a thread held at the time of the fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool.map(_decode, images, chunksize=AT_ONCE)
        except BrokenProcessPool:
            raise InputError("decode: one of the processes was killed, perhaps for want of memory") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _decode(path: Path) -> tuple[FileFingerprint, Image]:
    file = fingerprint_file(path)
    return file, read_image(path)


def _index_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.index")


def _read_index(path: Path) -> tuple[dict[str, _Entry], int]:
    """Return the entry of each image by its absolute path, and the size of the file in bytes.

    Raises:
        InputError: naming the index, if it is missing or broken.
    """
    index = _index_path(path)
    try:
        content = json.loads(index.read_bytes())
        if content["format"] != FORMAT:
            raise InputError(f"{index}: expected '{FORMAT}', got '{content['format']}'; {REMEDY}")
        entries = {name: _Entry(FileFingerprint(*file), *entry) for name, file, *entry in content["images"]}
        return entries, int(content["bytes"])
    except OSError as error:
        raise InputError(f"{index}: expected the index of decoded images: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{index}: expected the index of decoded images, cannot read it: {error}; {REMEDY}") from None
