"""The EXIF orientation, which `read_image_size` has to know without reading the pixels."""

from __future__ import annotations

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError
from detection.image import read_image, read_image_size
from tests.detection.image.image_files import (
    COLOURS,
    PIXELS,
    STORED,
    UPRIGHT,
    encode,
    jpeg_with_exif,
    oriented,
    png_chunk,
    refusal,
    save,
    tiles,
)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {"quality": 95, "subsampling": 0}),
        ("png", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int, suffix: str, options: dict[str, Any], tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(tiles(STORED))
    path = save(tmp_path / f"picture.{suffix}", picture, exif=oriented(orientation), **options)

    image = read_image(path)
    expected = tiles(UPRIGHT[orientation])

    assert image.shape == expected.shape
    assert read_image_size(path) == expected.shape[:2]
    assert np.abs(image.astype(int) - expected).max() <= (4 if suffix == "jpg" else 0)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_orientation_is_applied_in_every_mode(mode: str, tmp_path: Path) -> None:
    values = np.array([[0, 65535], [65535, 65535], [257, 0]], np.uint16)
    picture = PIL.Image.fromarray(values if mode == "I;16" else (values // 257).astype(np.uint8))
    if mode != "I;16":
        picture = picture.convert(mode)
    path = save(tmp_path / "picture.png", picture, exif=oriented(6))

    np.testing.assert_array_equal(read_image(path)[:, :, 0], [[1, 255, 0], [0, 255, 255]])


@pytest.mark.parametrize("orientation", [1, 6])
def test_size_of_a_png_with_its_orientation_behind_the_pixels(orientation: int, tmp_path: Path) -> None:
    content = encode(PIL.Image.fromarray(PIXELS), "PNG")
    end = content.index(b"IEND") - 4
    path = tmp_path / "picture.png"
    path.write_bytes(content[:end] + png_chunk(b"eXIf", oriented(orientation).tobytes()[6:]) + content[end:])

    assert read_image_size(path) == read_image(path).shape[:2] == ((3, 2) if orientation == 6 else (2, 3))


@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_size_is_in_the_header(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(noise))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    refusal(path)  # the pixels are cut off, the header is whole

    assert read_image_size(path) == (64, 96)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff"])
def test_size_of_what_is_no_image(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.jpg: expected a readable image, got: "):
        read_image_size(path)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientation_is_ignored(orientation: int, tmp_path: Path) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS), exif=oriented(orientation))

    np.testing.assert_array_equal(read_image(path), PIXELS)


def damaged_exif(*, orientation: int) -> bytes:
    """Return a block whose Orientation can be read; its other tag, Software, points behind the end of the data."""
    entries = struct.pack("<HHIHH", ExifTag.Orientation, 3, 1, orientation, 0)
    entries += struct.pack("<HHII", ExifTag.Software, 2, 100, 5000)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0this is no TIFF header",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(20),
        damaged_exif(orientation=1),
    ],
)
def test_corrupt_exif_does_not_stop_reading(exif: bytes, suffix: str, action: Any, tmp_path: Path) -> None:
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(tiles(STORED)), exif=exif, quality=95)

    with warnings.catch_warnings(action=action):
        image = read_image(path)

    assert image.shape == (48, 32, 3)
    assert np.abs(image[8, 8].astype(int) - COLOURS["A"]).max() <= 8
    assert np.abs(image[40, 24].astype(int) - COLOURS["F"]).max() <= 8


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation_survives_damage_behind_it(suffix: str, action: Any, tmp_path: Path) -> None:
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(tiles(STORED)), exif=damaged_exif(orientation=6))
    with PIL.Image.open(
        io.BytesIO(encode(PIL.Image.fromarray(PIXELS), "PNG", exif=damaged_exif(orientation=6)))
    ) as bad:
        bad.load()
        with pytest.warns(UserWarning, match="larger than file|corrupt|Corrupt|Truncated"):  # the block is damaged
            bad.getexif()

    with warnings.catch_warnings(action=action):
        image = read_image(path)

    assert image.shape == (32, 48, 3)


SHORT, RATIONAL, ASCII = 3, 5, 2


@pytest.mark.parametrize(
    ("content", "upright"),
    [
        (jpeg_with_exif((ExifTag.Orientation, SHORT, 1, 6)), True),
        (jpeg_with_exif((ExifTag.Orientation, SHORT, 2, 0x60006)), True),  # two values
        (jpeg_with_exif((ExifTag.Orientation, ASCII, 2, ord("6"))), False),
        (jpeg_with_exif((ExifTag.Orientation, RATIONAL, 1, 100_000)), False),  # outside
        (jpeg_with_exif((ExifTag.Orientation, 99, 1, 6)), False),  # no such type
        (jpeg_with_exif((ExifTag.Make, ASCII, 2**32 - 1, 8), (ExifTag.Orientation, SHORT, 1, 6)), True),
        (jpeg_with_exif((ExifTag.XResolution, RATIONAL, 3, 8), (ExifTag.Orientation, SHORT, 1, 6)), True),
        (jpeg_with_exif((ExifTag.ExifOffset, 4, 1, 8), (ExifTag.Orientation, SHORT, 1, 6)), True),  # a loop
        (jpeg_with_exif((ExifTag.Orientation, SHORT, 1, 6), count=500), True),
    ],
)
def test_odd_exif_gives_no_warnings(content: bytes, upright: bool, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as threads:
            images = list(threads.map(read_image, [path] * 20))
        sizes = {read_image_size(path), *(image.shape[:2] for image in images)}
        assert warnings.filters == before
    assert sizes == {(8, 4) if upright else (4, 8)}
    assert caught == []


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation_is_applied_where_the_rest_cannot_be_written_back(suffix: str, tmp_path: Path) -> None:
    """`PIL.ImageOps.exif_transpose` alone fails, because the tag Software is a number here and not a text."""
    entries = struct.pack("<HHIHH", ExifTag.Orientation, 3, 1, 6, 0) + struct.pack(
        "<HHIf", ExifTag.Software, 11, 1, 0.5
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(tiles(STORED)), exif=exif)

    assert read_image(path).shape == tiles(UPRIGHT[6]).shape
