"""Damaged image files of all formats and codings that `detect` reads, and archives of them."""

import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.random import Generator

from classifier.warp.crop import warp_regions
from detection.errors import InputError
from detection.image import read_image, read_image_size
from detection.sources.archives import archive_pictures
from detection.sources.picture import Picture
from detection.structures.arrays import Image
from proposals.selective_search import SelectiveSearch
from tools.fuzz.inputs.mutations.byte_changes import change_bytes, pick
from tools.fuzz.inputs.mutations.image_changes import change_image

SIDE = (24, 40)
"""Height and width of the pictures."""

MOST_PIXELS = 10_000
"""Proposals are made for pictures of up to this size."""


def example_images() -> list[bytes]:
    """Return image files of every format and coding, of one picture."""
    return list(_encoded(_draw()))


def _draw() -> Image:
    """Return a picture of coloured rectangles with noise."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 40, (*SIDE, 3), dtype=np.uint8)
    picture[4:15, 3:20] += np.array([180, 30, 90], np.uint8)
    picture[10:, 22:36] += np.array([20, 160, 200], np.uint8)
    return picture


def _encoded(picture: Image) -> Iterator[bytes]:
    rgb = PIL.Image.fromarray(picture)
    clear = rgb.copy()
    clear.putalpha(rgb.convert("L"))
    grey, palette = rgb.convert("L"), rgb.quantize(16)
    deep = PIL.Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the orientation
    for image in (rgb, grey, rgb.convert("CMYK")):
        yield _save(image, "JPEG", exif=exif)
        yield _save(image, "JPEG", progressive=True, quality=40)
    yield _save(rgb, "JPEG", subsampling=0, restart_marker_blocks=1)
    for image in (rgb, clear, grey, grey.convert("LA"), palette, rgb.convert("1"), deep):
        yield _save(image, "PNG", exif=exif)
    yield _save(palette, "PNG", transparency=3, bits=4)
    yield _save(rgb, "PNG", transparency=(0, 0, 0))
    yield _save(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)])
    for options in ({}, {"lossless": True}, {"exif": exif, "quality": 30}):
        yield _save(rgb, "WEBP", **options)
        yield _save(clear, "WEBP", **options)
    yield _save(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)])
    for image in (rgb, grey, palette, rgb.convert("1"), clear):
        yield _save(image, "BMP")
    floating = PIL.Image.fromarray(np.asarray(grey).astype(np.float32))
    for image in (rgb, clear, grey, palette, rgb.convert("1"), deep, floating, rgb.convert("CMYK")):
        yield _save(image, "TIFF", exif=exif)
        yield _save(image, "TIFF", compression="tiff_lzw", big_tiff=image is grey)
    for compression in ("tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate"):
        yield _save(rgb, "TIFF", compression=compression)
    yield _save(rgb.convert("1"), "TIFF", compression="group4")
    yield _save(rgb, "TIFF", save_all=True, append_images=[grey])
    yield _save(palette, "GIF")  # is refused, whatever it holds


def _save(image: PIL.Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


class ImageFiles:
    """Damaged image files, which are read as `detect` reads them, and whose pixels are cut out and searched."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "photo.jpg"
        self.examples = example_images()
        self.search = SelectiveSearch(scales=(50,), width=40, min_side=4)
        self.path.write_bytes(self.examples[0])
        self.read()  # compiles loops, which is not to count as the time of an input

    def write(self, random: Generator) -> None:
        """Write an example after changes, or the beginning of one with the end of another."""
        content = change_image(pick(self.examples, random), random)
        if random.random() < 0.05:
            other = pick(self.examples, random)
            content = content[: random.integers(len(content) + 1)] + other[random.integers(len(other)) :]
        self.path.write_bytes(content)

    def read(self) -> None:
        """Read the size and the pixels, warp three regions, and propose boxes in a small picture."""
        size = _size_or_none(self.path)
        image = read_image(self.path)
        height, width = image.shape[:2]
        if size is not None and size != (height, width):
            raise AssertionError(f"read_image_size gave {size}, read_image {(height, width)}")
        if height * width > MOST_PIXELS:
            return
        boxes = torch.tensor([[0, 0, width, height], [width / 3, height / 3, width / 2, height], [0, 0, 0.5, 0.5]])
        regions = warp_regions(torch.from_numpy(image[None]), boxes[None], size=16, context=2)
        if not bool(regions.isfinite().all()):
            raise AssertionError("a warped region has values that are not finite")
        self.search(image)


def _size_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return read_image_size(path)
    except InputError:
        return None


class Archives:
    """Damaged zip and tar archives of whole and damaged images."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.path = folder
        images = example_images()
        self.examples = {
            suffix: [_pack(images[start : start + 3], suffix) for start in range(0, 30, 6)]
            for suffix in (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
        }

    def write(self, random: Generator) -> None:
        """Write an archive after changes of its bytes."""
        if self.path.is_file():
            self.path.unlink()
        suffix = pick(tuple(self.examples), random)
        self.path = self.folder / f"photos{suffix}"
        self.path.write_bytes(change_bytes(pick(self.examples[suffix], random), random))

    def read(self) -> None:
        """Read all pictures of the archive, each of which may be refused; raise the last error if none can be read."""
        read_each(archive_pictures(self.path))


def read_each(pictures: Iterable[Picture]) -> None:
    """Read pictures, each of which may be refused.

    Raises:
        InputError: the last one, if there are pictures and none can be read.
    """
    readable, refusal = 0, None
    for picture in pictures:
        try:
            picture.read()
            readable += 1
        except InputError as error:
            refusal = error
    if not readable and refusal is not None:
        raise refusal


def _pack(images: list[bytes], suffix: str) -> bytes:
    file = io.BytesIO()
    names = ["a.jpg", "b/c.png", "../d.jpg"]
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in zip(names, images, strict=True):
                archive.writestr(name, content)
        return file.getvalue()
    mode: Any = f"w:{suffix.removeprefix('.tar').removeprefix('.')}"
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, content in zip(names, images, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()
