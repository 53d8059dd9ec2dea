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
from PIL import TiffImagePlugin
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


def png(colour_type: int, bits: int, values: ArrayLike, transparent: ArrayLike | None = None) -> bytes:
    """Return a PNG file with the values [H, W, C] in its own coding; `transparent` is the colour of its tRNS chunk."""
    pixels = np.array(values)
    height, width, _ = pixels.shape
    digits = (pixels[..., None] >> np.arange(bits)[::-1]) & 1
    rows = [b"\0" + np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in digits]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    if transparent is not None:
        content += png_chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    return content + png_chunk(b"IDAT", zlib.compress(b"".join(rows))) + png_chunk(b"IEND", b"")


def tiff(pixels: bytes, size: tuple[int, int], **tags: list[int]) -> bytes:
    """Return an uncompressed TIFF file of one strip for each sample; tags with the names of Pillow come on top."""
    height, width = size
    samples = len(tags["BITSPERSAMPLE"])
    strips = samples if tags.get("PLANAR_CONFIGURATION") == [2] else 1
    tags = {"IMAGEWIDTH": [width], "IMAGELENGTH": [height], "COMPRESSION": [1], "SAMPLESPERPIXEL": [samples],
            "ROWSPERSTRIP": [height], "STRIPBYTECOUNTS": [len(pixels) // strips] * strips, **tags}  # fmt: skip
    tags["STRIPOFFSETS"] = [8 + index * len(pixels) // strips for index in range(strips)]
    entries, extra = b"", b""
    start = 8 + len(pixels)
    end = start + 2 + 12 * len(tags) + 4
    for number, values in sorted((getattr(TiffImagePlugin, name), values) for name, values in tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        entries += struct.pack("<HHI", number, 4, len(values))
        entries += packed if len(values) == 1 else struct.pack("<I", end + len(extra))
        extra += packed if len(values) > 1 else b""
    return struct.pack("<2sHI", b"II", 42, start) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def jpeg_with_exif(*entries: tuple[int, int, int, int], count: int | None = None) -> bytes:
    """Return a red JPEG of 8x4 pixels with the EXIF entries (tag, type, number of values, value or place)."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries) if count is None else count) + directory
    content = encode(PIL.Image.new("RGB", (8, 4), "red"), "JPEG")
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


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
