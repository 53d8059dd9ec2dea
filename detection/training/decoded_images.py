"""Images that are decoded once and kept in a file, so that loaders need not decode them again in each epoch.

It pays where images are small and epochs many. The file takes three bytes a pixel: 1.2 GB for the 100,000 pictures of
Tiny ImageNet, but 0.5 MB for each photo of 500 px.
"""

from __future__ import annotations

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
from tqdm import tqdm

from detection.errors import InputError
from detection.image import read_image
from detection.runtime.atomic_write import atomic_path, write_atomically
from detection.structures.arrays import Image

ImageReader = Callable[[Path], Image]
"""Gives the pixels of an image file, uint8 [H, W, 3]."""

FORMAT = "inception-rcnn decoded images 1"

REMEDY = "delete it and its index, and the next run makes them anew"

AT_ONCE = 64
"""Images that a process decodes before it hands them over."""


class _Entry(NamedTuple):
    """An image: the bytes of its file, its height and width, and where its pixels start."""

    file_size: int
    height: int
    width: int
    start: int


class DecodedImages:
    """The pixels of image files, without decoding: `decoded(path)` is what `read_image(path)` gives, not to be changed.

    The file is mapped into memory, so processes share what the system holds of it. A pickled one is no more than the
    path, and is opened anew where it arrives.

    Args:
        path: a file that `decode_images` has made; its index lies beside it.

    Raises:
        InputError: naming the file, if it or its index is missing, broken or truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries, length = _read_index(path)
        found = path.stat().st_size if path.is_file() else 0
        if found != length:
            raise InputError(f"{path}: expected {length} bytes as its index says, got {found}; {REMEDY}")
        # An empty file cannot be mapped.
        self._pixels = np.memmap(path, np.uint8, "r") if length else np.empty(0, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._entries)

    def __call__(self, path: Path) -> Image:
        """The pixels [H, W, 3] of a file.

        Raises:
            KeyError: if it is not among the images; see `require`.
        """
        entry = self._entries[os.path.abspath(path)]  # noqa: PTH100 called for each sample, and several times as fast
        end = entry.start + entry.height * entry.width * 3
        pixels: Image = np.asarray(self._pixels)[entry.start : end].reshape(entry.height, entry.width, 3)
        return pixels

    def require(self, paths: Iterable[Path]) -> None:
        """See whether all of some files are there, as they are now.

        Raises:
            InputError: naming the first that is missing or has changed.
        """
        for path in paths:
            entry = self._entries.get(str(path.absolute()))
            if entry is None:
                raise InputError(f"{self.path}: expected the pixels of {path}, found none; {REMEDY}")
            size = path.stat().st_size
            if size != entry.file_size:
                raise InputError(
                    f"{self.path}: expected the pixels of {path} of {size} bytes, got those of a file of "
                    f"{entry.file_size} bytes; {REMEDY}"
                )


def open_or_decode(path: Path, images: Sequence[Path], *, workers: int) -> DecodedImages:
    """The pixels of `images`, decoded now by so many processes if there is no such file yet.

    Raises:
        InputError: naming the image or file that cannot be read or written, or does not fit `images`.
    """
    if not _index_path(path).exists():
        decode_images(path, images, workers=workers)
    decoded = DecodedImages(path)
    decoded.require(images)
    return decoded


def decode_images(path: Path, images: Sequence[Path], *, workers: int) -> None:
    """Write the pixels of `images` to a file, and then its index beside it.

    Several processes may do so at once, as those of a distributed run do: each writes a file of its own, and the last
    one to finish puts its own in place of the others, which are the same.

    Raises:
        InputError: naming the image or file that cannot be read or written.
    """
    entries: dict[str, _Entry] = {}
    start = 0
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        tqdm(total=len(images), desc="decode", unit="image", disable=None) as progress,
        _decoding(images, workers=workers) as decoded,
    ):
        for image, (file_size, pixels) in zip(images, decoded, strict=True):
            height, width = pixels.shape[:2]
            entries[str(image.absolute())] = _Entry(file_size, height, width, start)
            start += file.write(pixels.data)
            progress.update()
    index = {"format": FORMAT, "bytes": start, "images": [(name, *entry) for name, entry in entries.items()]}
    write_atomically(_index_path(path), json.dumps(index).encode())


@contextmanager
def _decoding(images: Sequence[Path], *, workers: int) -> Iterator[Iterator[tuple[int, Image]]]:
    """The bytes of each file and its pixels, in their order."""
    if workers < 1:
        yield map(_decode, images)
        return
    # Forked, a process could wait for ever for a lock that a thread held at that moment.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool.map(_decode, images, chunksize=AT_ONCE)
        except BrokenProcessPool:
            raise InputError("decode: one of the processes was killed, perhaps for want of memory") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _decode(path: Path) -> tuple[int, Image]:
    pixels = read_image(path)
    return path.stat().st_size, pixels


def _index_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.index")


def _read_index(path: Path) -> tuple[dict[str, _Entry], int]:
    """The entry of each image by its absolute path, and the bytes of the file.

    Raises:
        InputError: naming the index, if it is missing or broken.
    """
    index = _index_path(path)
    try:
        content = json.loads(index.read_bytes())
        if content["format"] != FORMAT:
            raise InputError(f"{index}: expected '{FORMAT}', got '{content['format']}'; {REMEDY}")
        return {name: _Entry(*entry) for name, *entry in content["images"]}, int(content["bytes"])
    except OSError as error:
        raise InputError(f"{index}: expected the index of decoded images: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{index}: expected the index of decoded images, cannot read it: {error}; {REMEDY}") from None
