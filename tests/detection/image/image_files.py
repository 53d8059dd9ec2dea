"""Images for the tests of `detection.image`, and files of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import ArrayLike, NDArray
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError
from detection.image import read_image

PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[1, 2, 3], [250, 128, 7], [90, 91, 200]]], np.uint8)

LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("png", {}),
    ("bmp", {}),
    ("tiff", {}),
    ("tiff", {"compression": "tiff_lzw"}),
    ("tiff", {"compression": "tiff_deflate"}),
    ("webp", {"lossless": True}),
]


def encode(picture: PIL.Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_name, **options)
    return file.getvalue()


def save(path: Path, picture: PIL.Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def picture_of(mode: str, values: ArrayLike) -> PIL.Image.Image:
    """Return an image of one row with the given mode and pixels."""
    pixels = np.array(values, np.uint8)
    picture = PIL.Image.new(mode, (len(pixels), 1))
    for x, value in enumerate(pixels.tolist()):
        picture.putpixel((x, 0), tuple(value) if isinstance(value, list) else value)
    return picture


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """Return the signature and the IHDR chunk of an RGB file."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))


# Where the stored rows AB, CD, EF belong. Orientation 6, for one: "the 0th row is the visual right-hand side, the 0th
# column the visual top" (EXIF 2.32, 4.6.4): the top row shows A, C, E, with A at the right.
STORED = ["AB", "CD", "EF"]
UPRIGHT = {
    1: ["AB", "CD", "EF"],
    2: ["BA", "DC", "FE"],
    3: ["FE", "DC", "BA"],
    4: ["EF", "CD", "AB"],
    5: ["ACE", "BDF"],
    6: ["ECA", "FDB"],
    7: ["FDB", "ECA"],
    8: ["BDF", "ACE"],
}
COLOURS = {
    "A": (255, 0, 0),
    "B": (0, 255, 0),
    "C": (0, 0, 255),
    "D": (0, 0, 0),
    "E": (255, 255, 255),
    "F": (128, 0, 128),
}


def tiles(letters: list[str]) -> NDArray[np.uint8]:
    """Draw a tile of 16 x 16 pixels in one colour for each letter. JPEG hardly changes such tiles."""
    colours = np.array([[COLOURS[letter] for letter in row] for row in letters], np.uint8)
    return np.kron(colours, np.ones((16, 16, 1), np.uint8))


def oriented(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[ExifTag.Orientation] = orientation
    return exif


def refusal(path: Path) -> str:
    """Return the message of the error that `read_image` raises: one line that begins with the path."""
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a readable image, got: ")
    assert "\n" not in message
    return message
