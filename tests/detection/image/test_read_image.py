"""`read_image` reads all formats and modes, and scales their values."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from detection.image import read_image
from tests.detection.image.image_files import (
    LOSSLESS,
    PIXELS,
    encode,
    picture_of,
    png_chunk,
    png_header,
    refusal,
    save,
)


def test_pixels_is_what_it_takes_to_tell_channels_and_axes_apart() -> None:
    assert PIXELS.shape == (2, 3, 3)
    assert not np.array_equal(PIXELS, PIXELS[:, :, ::-1])


# Formats


@pytest.mark.parametrize(("suffix", "options"), LOSSLESS)
def test_lossless_formats_give_the_exact_pixels(suffix: str, options: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(PIXELS), **options)

    image = read_image(path)

    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, PIXELS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_is_close_to_the_picture(options: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.kron(PIXELS, np.ones((16, 16, 1), np.uint8))
    path = save(tmp_path / "picture.jpg", PIL.Image.fromarray(pixels), quality=95, subsampling=0, **options)

    difference = np.abs(read_image(path).astype(int) - pixels)

    assert difference.max() <= 4


def test_format_goes_by_content_and_a_path_may_be_a_string(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(PIL.Image.fromarray(PIXELS), "PNG"))

    np.testing.assert_array_equal(read_image(str(path)), PIXELS)


def test_webp_whose_length_holds_a_line_feed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 200, 3), dtype=np.uint8)
    files = (encode(PIL.Image.fromarray(noise[:, :width]), "WEBP", lossless=True) for width in range(1, 200))
    path = tmp_path / "picture.webp"
    path.write_bytes(next(file for file in files if b"\n" in file[4:8]))

    image = read_image(path)

    np.testing.assert_array_equal(image, noise[:, : image.shape[1]])


def test_result_is_contiguous_and_writable(tmp_path: Path) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS))

    image = read_image(path)
    tensor = torch.from_numpy(image)  # warns, which is an error here, where the array is read-only
    tensor[0, 0, 0] = 7

    assert image.flags.c_contiguous
    assert image[0, 0, 0] == 7


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20_000, 3), (3000, 3), (3, 3000), (700, 1001)])
def test_unusual_sizes(width: int, height: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = save(tmp_path / "picture.bmp", PIL.Image.fromarray(pixels))

    np.testing.assert_array_equal(read_image(path), pixels)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF", "MPO"])
def test_first_frame_of_several(format_name: str, tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "frames"
    path.write_bytes(encode(frames[0], format_name, save_all=True, append_images=frames[1:]))
    with PIL.Image.open(path) as reopened:
        assert getattr(reopened, "n_frames", 1) == 3

    difference = np.abs(read_image(path).astype(int) - [255, 0, 0])

    assert difference.max() <= 2


# Modes


@pytest.mark.parametrize(
    ("mode", "values", "suffix", "expected"),
    [
        ("L", [0, 77, 255], "png", [[0] * 3, [77] * 3, [255] * 3]),
        ("L", [0, 77, 255], "bmp", [[0] * 3, [77] * 3, [255] * 3]),
        ("1", [0, 255], "png", [[0] * 3, [255] * 3]),
        ("1", [0, 255], "tiff", [[0] * 3, [255] * 3]),
        # Over white: alpha 0 is white, 255 the value; 128 of 255 of black leaves 127.
        ("LA", [[100, 0], [100, 255], [0, 128]], "png", [[255] * 3, [100] * 3, [127] * 3]),
        ("RGBA", [[9, 8, 7, 0], [9, 8, 7, 255], [0, 0, 255, 128]], "png", [[255] * 3, [9, 8, 7], [127, 127, 255]]),
        ("RGBA", [[9, 8, 7, 0], [9, 8, 7, 255], [0, 0, 255, 128]], "tiff", [[255] * 3, [9, 8, 7], [127, 127, 255]]),
        ("CMYK", [[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]], "tiff", [[255] * 3, [0, 255, 255], [0] * 3]),
    ],
)
def test_modes_become_rgb(mode: str, values: list[Any], suffix: str, expected: list[list[int]], tmp_path: Path) -> None:
    path = save(tmp_path / f"picture.{suffix}", picture_of(mode, values))

    np.testing.assert_array_equal(read_image(path), [expected])


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (None, [[10, 20, 30], [40, 50, 60]]),
        (1, [[10, 20, 30], [255, 255, 255]]),
        (b"\x00\xff", [[255, 255, 255], [40, 50, 60]]),
    ],
)
def test_palette_with_and_without_transparency(
    transparency: int | bytes | None, expected: list[list[int]], tmp_path: Path
) -> None:
    picture = picture_of("P", [0, 1])
    picture.putpalette([10, 20, 30, 40, 50, 60])
    options = {} if transparency is None else {"transparency": transparency}
    path = save(tmp_path / "picture.png", picture, **options)

    np.testing.assert_array_equal(read_image(path), [expected])


@pytest.mark.parametrize(
    ("mode", "values", "transparency", "expected"),
    [
        ("L", [5, 6], 5, [[255] * 3, [6] * 3]),
        ("RGB", [[5, 6, 7], [8, 9, 10]], (5, 6, 7), [[255] * 3, [8, 9, 10]]),
    ],
)
def test_transparent_colour_becomes_white(
    mode: str, values: list[Any], transparency: Any, expected: list[list[int]], tmp_path: Path
) -> None:
    path = save(tmp_path / "picture.png", picture_of(mode, values), transparency=transparency)

    np.testing.assert_array_equal(read_image(path), [expected])


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    path = save(tmp_path / "picture.jpg", PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)  # red ink

    difference = np.abs(read_image(path).astype(int) - [255, 0, 0])

    assert difference.max() <= 3


def test_ycbcr_tiff(tmp_path: Path) -> None:
    # BT.601, full range: red is Y 0.299 * 255 = 76, Cb 128 - 0.168736 * 255 = 85, Cr 128 + 0.5 * 255 = 255.
    path = save(tmp_path / "picture.tiff", PIL.Image.new("YCbCr", (4, 4), (76, 85, 255)))
    with PIL.Image.open(path) as reopened:
        assert reopened.mode == "YCbCr"

    difference = np.abs(read_image(path).astype(int) - [255, 0, 0])

    assert difference.max() <= 2


# value * 255 / 65535 = value / 257: half of 257 is 128.5, so that 128 rounds down and 129 up.
GREY16 = [0, 128, 129, 257, 32767, 65406, 65407, 65535]
GREY8 = [0, 0, 1, 1, 127, 254, 255, 255]


@pytest.mark.parametrize(
    ("suffix", "dtype", "mode"),
    [("png", "<u2", "I;16"), ("tiff", "<u2", "I;16"), ("tiff", ">u2", "I;16B"), ("tiff", "<i4", "I")],
)
def test_16_bit_grey_is_scaled_not_clipped(suffix: str, dtype: str, mode: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(np.array([GREY16], dtype)))
    with PIL.Image.open(path) as reopened:
        assert reopened.mode == mode

    image = read_image(path)

    np.testing.assert_array_equal(image, np.repeat(np.array(GREY8)[None, :, None], 3, axis=2))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_16_bit_rgb_png(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    row = b"\0" + struct.pack(">6H", 0, 0x8000, 65535, 65535, 0x0100, 0)  # filter byte, two pixels
    path.write_bytes(png_header(2, 1, bits=16) + png_chunk(b"IDAT", zlib.compress(row)) + png_chunk(b"IEND", b""))

    np.testing.assert_array_equal(read_image(path), [[[0, 128, 255], [255, 1, 0]]])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([[0, 65536]], np.int32), "grey values of 0 to 65536"),
        (np.array([[-1, 65535]], np.int32), "grey values of -1 to 65535"),
        (np.array([[0.0, 0.5]], np.float32), "floating-point values"),
    ],
)
def test_values_without_a_known_range_are_refused(values: NDArray[Any], found: str, tmp_path: Path) -> None:
    path = save(tmp_path / "picture.tiff", PIL.Image.fromarray(values))

    assert found in refusal(path)
