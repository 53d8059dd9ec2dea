"""Reads image files: `read_image` returns RGB uint8 [H, W, 3] whatever the file holds.

`decode_image` does so for bytes and open files, and `from_pillow` for an image of Pillow. The package `sources` takes
arrays too, and finds the pictures in folders, archives, videos and so on.
"""

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError, reason_of
from detection.structures.arrays import Image

MAX_PIXELS = 178_956_970
"""The largest number of pixels in an image, such as 20,000 x 8,947; it is also Pillow's limit. The array takes 0.5 GB,
and decoding takes about three times that."""

MAX_PIPE_BYTES = 1 << 30
"""The largest image that is read from a pipe, which has no size."""

CHUNK_BYTES = 1 << 20
"""The number of bytes that are read from a pipe at once."""

_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {
    rb"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    rb"RIFF....WEBP": WebPImagePlugin.WebPImageFile,
    rb"BM": BmpImagePlugin.BmpImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImagePlugin.TiffImageFile,
}

_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\.|detection\.image"), 0)
"""The warnings filter for Pillow, as `warnings.filters` has them."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # otherwise Pillow's messages go to standard error

_GREY_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
"""The difference between two grey values of a PNG file of 1, 2 or 4 bits, once Pillow has read them as 8 bits."""

_SIDEWAYS = (5, 6, 7, 8)
"""The EXIF orientations that swap width and height."""


def read_image(path: str | os.PathLike[str]) -> Image:
    """Return the first frame of a JPEG, PNG, WebP, BMP or TIFF file as RGB uint8 [H, W, 3], contiguous and writable.

    The EXIF orientation is applied, transparency is laid over white, and 16-bit grey is scaled so that 65535 becomes
    255. Colour profiles are ignored. The file may also be a pipe.

    Raises:
        InputError: if the file cannot be opened, is damaged or truncated, has another format, more than `MAX_PIXELS`
            pixels, or values whose range is not known, or which Pillow would read wrongly.
    """
    with _naming(os.fspath(path)), Path(path).open("rb") as file, _without_warnings():
        return _to_array(_open(_seekable(file)))


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the size (height, width) of the array that `read_image` would return, from the header of the file.

    Only PNG and TIFF files are decoded, since their EXIF orientation may come after the pixels.

    Raises:
        InputError: as `read_image`, except that damage after the header may not be noticed.
    """
    with _naming(os.fspath(path)), Path(path).open("rb") as file, _without_warnings():
        return _upright_size(_open(_seekable(file)))


def decode_image(content: bytes | BinaryIO, *, name: str, max_pixels: int | None = None) -> Image:
    """Return an image file whose content is in memory, or in a file that is open for reading, as `read_image` does.

    A file that can be rewound is read from its beginning, and any other from where it stands.

    Raises:
        InputError: beginning with `name`, in the same cases as `read_image`, and for more than `max_pixels` pixels.
    """
    with _naming(name), _without_warnings():
        return _to_array(_open(io.BytesIO(content) if isinstance(content, bytes) else _seekable(content), max_pixels))


def from_pillow(image: PIL.Image.Image) -> Image:
    """Return an image of Pillow as `read_image` would return its file.

    Raises:
        InputError: in the same cases as `read_image`.
    """
    with _naming(str(getattr(image, "filename", "")) or "Pillow image"), _without_warnings():
        return _to_array(image)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Turn every error into an `InputError` of one line that begins with `source`."""
    try:
        yield
    except Exception as error:  # for a damaged file, Pillow raises nearly anything, SyntaxError included
        folder = isinstance(error, IsADirectoryError)
        reason = "a folder; `Detector.stream` reads the images in it" if folder else reason_of(error)
        raise InputError(f"{source}: expected a readable image, got: {reason}") from error


@contextmanager
def _naming_damage() -> Iterator[None]:
    """Say for errors of Pillow that the file is damaged, unless it is of a kind that Pillow does not support."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if text == "Operation on closed image":
            raise ValueError("an image of Pillow that is closed") from error
        if text.startswith(("unknown pixel mode", "unknown data organization")):  # of TIFF
            raise ValueError(f"a kind of image that is not supported ({text})") from error
        if isinstance(error, MemoryError) or getattr(error, "strerror", None) or text.lower().startswith("unsupported"):
            raise
        raise ValueError(f"a file that is cut short or damaged ({text or type(error).__name__})") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore the warnings of Pillow within the block, also where `python -W error` turns them into errors.

    Pillow warns of damage that does not affect the pixels, such as a corrupt EXIF block. Several threads may be within
    such a block, for which `catch_warnings` is not made, so each adds a filter and removes one again.
    """
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, _IGNORED)
    try:
        yield
    finally:
        filters.remove(_IGNORED)


def _seekable(file: BinaryIO) -> BinaryIO:
    """Return the file, or its content in memory if it is a pipe or another stream."""
    if file.seekable():
        return file
    content = bytearray()
    while chunk := file.read(min(CHUNK_BYTES, MAX_PIPE_BYTES + 1 - len(content))):
        if not isinstance(chunk, bytes):
            raise ValueError("a stream of text; open it in binary mode")
        content += chunk
    if len(content) > MAX_PIPE_BYTES:
        raise ValueError(f"more than {MAX_PIPE_BYTES} bytes from a pipe")
    return io.BytesIO(content)


def _open(file: BinaryIO, max_pixels: int | None = None) -> PIL.Image.Image:
    """Open an image of which only the header is read.

    `PIL.Image.open` refuses images above its global limit `MAX_IMAGE_PIXELS`, so the class of the format is called.
    """
    file.seek(0)
    if isinstance(file, io.TextIOBase):  # before it tries to decode the bytes of an image as text
        raise ValueError("a file of text; open it in binary mode")
    header = file.read(12)
    file.seek(0)
    if not header:
        raise ValueError("an empty file")
    reader = next((reader for start, reader in _FORMATS.items() if re.match(start, header, re.DOTALL)), None)
    if reader is None:
        raise ValueError(f"a file that is not JPEG, PNG, WebP, BMP or TIFF (it starts with {header!r})")
    with _naming_damage():
        _require_whole_webp(file, header)
        image = reader(file)
    width, height = image.size
    limit = MAX_PIXELS if max_pixels is None else min(max_pixels, MAX_PIXELS)
    if width * height > limit:
        raise ValueError(f"{width} x {height} = {width * height} pixels, more than the limit of {limit}")
    return image


def _require_whole_webp(file: BinaryIO, header: bytes) -> None:
    """Check that a WebP file is as long as its header says; Pillow would only say that there is no decoder."""
    if not re.match(rb"RIFF....WEBP", header, re.DOTALL):
        return
    expected, actual = int.from_bytes(header[4:8], "little") + 8, file.seek(0, os.SEEK_END)
    file.seek(0)
    if actual < expected:
        raise ValueError(f"{actual} of {expected} bytes")


def _to_array(image: PIL.Image.Image) -> Image:
    if 0 in image.size:
        raise ValueError("an image without pixels")
    coding = _raw_mode(image)
    with _naming_damage():
        image.load()  # since the orientation may come after the pixels, see `_upright_size`
    _check_coding(image, coding)
    inverted = _tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    transparent = image.info.get("transparency")
    if (orientation := _orientation(image)) != 1:
        image = image.copy()
        # `exif_transpose` fails where the rest of the EXIF block is damaged, so it gets the orientation alone.
        image.info = {key: value for key, value in image.info.items() if key == "transparency"}
        image.getexif()[ExifTag.Orientation] = orientation
        image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return _from_grey(np.asarray(image), 4095 if coding == "I;12" else 65535, transparent, inverted=inverted)
    if image.mode == "F":
        raise ValueError("floating-point values, whose range is not defined; convert them to 8 bits first")
    if coding in _GREY_STEPS and isinstance(transparent, int):
        return _from_grey(np.asarray(image.convert("L")), 255, transparent * _GREY_STEPS[coding])
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = PIL.Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    return _copy(image.convert("RGB") if image.mode != "RGB" else image)


def _raw_mode(image: PIL.Image.Image) -> str:
    """Return Pillow's name for how a file that is not loaded yet codes its pixels, such as "L;4"; otherwise ""."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _check_coding(image: PIL.Image.Image, coding: str) -> None:
    """Raise a `ValueError` for an image that Pillow reads wrongly."""
    if coding.startswith("RGB;16") and "transparency" in image.info:
        raise ValueError("16-bit colours of which one is transparent; convert them to 8 bits first")
    bits = np.ravel(_tag(image, TiffImagePlugin.BITSPERSAMPLE) or 8).max()
    separate = _tag(image, TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and image.info.get("compression") == "raw"
    if bits > 8 and separate:
        raise ValueError("16-bit colours in separate planes; convert them to 8 bits first")
    if bits == 8 and np.ravel(_tag(image, TiffImagePlugin.SAMPLEFORMAT) or 1)[0] == 2:
        raise ValueError("signed 8-bit values, whose range is not defined; convert them to unsigned ones first")


def _tag(image: PIL.Image.Image, number: int) -> Any:
    """Return the value of a tag of a TIFF file, or None."""
    return image.tag_v2.get(number) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _upright_size(image: PIL.Image.Image) -> tuple[int, int]:
    """Return (height, width) of the image once its EXIF orientation is applied."""
    if isinstance(image, PngImagePlugin.PngImageFile | TiffImagePlugin.TiffImageFile):
        with _naming_damage():  # a PNG may have its EXIF block behind the pixels, and Pillow turns a TIFF while loading
            image.load()
    width, height = image.size
    return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def _orientation(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) where the EXIF block is damaged."""
    try:
        orientation: int = image.getexif().get(ExifTag.Orientation, 1)
    except Exception:  # Pillow raises nearly anything for a damaged block; it says nothing about the pixels
        return 1
    return orientation


def _copy(image: PIL.Image.Image) -> Image:
    """Copy the pixels of an RGB image in bands, in half the time of `np.array(image)`, which copies three times."""
    width, height = image.size
    rows = max(1, (1 << 18) // width)  # 0.75 MB, which fit into the processor's cache
    if height <= rows:
        return np.array(image)
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        array[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return array


def _from_grey(grey: NDArray[Any], white: int, transparent: Any = None, *, inverted: bool = False) -> Image:
    """Convert grey values [H, W] to 0-255 [H, W, 3], rounded; Pillow's own conversion cuts values off at 255.

    Args:
        grey: the values, 0 to `white`.
        white: the value of white.
        transparent: the value of transparent pixels, which become white.
        inverted: True if 0 is white, and `white` is black.
    """
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > white:
        raise ValueError(f"grey values of {low} to {high}, which do not fit 16 bits; convert them to 8 bits first")
    levels = ((grey.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    if inverted:
        levels = 255 - levels
    if isinstance(transparent, int):
        levels[grey == transparent] = 255
    return np.repeat(levels[..., None], 3, axis=2)
