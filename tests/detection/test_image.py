from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from PIL.ExifTags import Base as ExifTag

from detection import image as image_module
from detection.errors import InputError
from detection.image import IMAGE_SUFFIXES, MAX_PIXELS, as_image, find_images, read_image, read_image_size

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
    """A picture of one row, of `mode`, with the given pixels."""
    pixels = np.array(values, np.uint8)
    picture = PIL.Image.new(mode, (len(pixels), 1))
    for x, value in enumerate(pixels.tolist()):
        picture.putpixel((x, 0), tuple(value) if isinstance(value, list) else value)
    return picture


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """Signature and IHDR chunk of an RGB file."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))


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


# EXIF

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
    """One colour a letter, in tiles of 16 x 16 pixels, which JPEG keeps nearly as they are."""
    colours = np.array([[COLOURS[letter] for letter in row] for row in letters], np.uint8)
    return np.kron(colours, np.ones((16, 16, 1), np.uint8))


def oriented(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[ExifTag.Orientation] = orientation
    return exif


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
    """A block whose Orientation can be read, and whose next tag, Software, lies behind the end of the data."""
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


# Files that cannot be read


def refusal(path: Path) -> str:
    """The message with which `read_image` refuses `path`: one line, that begins with the path."""
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a readable image, got: ")
    assert "\n" not in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.jpg")


def test_folder(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


def test_name_with_a_null_character(tmp_path: Path) -> None:
    assert "null" in refusal(tmp_path / "a\0.jpg")


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS))

    def refuse(self: Path, *_: Any) -> None:  # as root, whom many containers run as, may read everything
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)

    assert refusal(path).endswith("got: Permission denied")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\xff", "not JPEG, PNG, WebP, BMP or TIFF (it starts with b'\\xff')"),
        (b"Not an image,\nbut text", "not JPEG, PNG, WebP, BMP or TIFF (it starts with b'Not an image')"),
        (b"<!DOCTYPE html>", "it starts with b'<!DOCTYPE ht'"),
        (encode(PIL.Image.new("P", (4, 4)), "GIF"), "it starts with b'GIF8"),
        (b"BMW is not a bitmap", "got: "),
        (b"\x89PNG\r\n\x1a\n", "got: "),
        (b"\xff\xd8\xff", "got: "),
        (b"RIFF\0\0\0\0WEBP", "got: "),
        (b"II*\0\x08\0\0\0", "got: "),
    ],
)
def test_content_that_is_no_image(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)

    message = refusal(path)

    assert found in message
    assert not message.endswith("got: ")


@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file(format_name: str, options: dict[str, Any], share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encode(PIL.Image.fromarray(noise), format_name, **options)
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert read_image(path).shape == (64, 64, 3)

    path.write_bytes(content[: int(len(content) * share)])

    refusal(path)


def test_jpeg_without_its_last_two_bytes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(PIL.Image.fromarray(tiles(STORED)), "JPEG")[:-2])

    assert "truncated" in refusal(path)


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(30_000, 20_000) + png_chunk(b"IDAT", b"never decoded") + png_chunk(b"IEND", b""))

    message = refusal(path)

    assert "30000 x 20000 = 600000000 pixels" in message
    assert str(MAX_PIXELS) in message


def test_limit_is_the_last_size_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS))

    monkeypatch.setattr(image_module, "MAX_PIXELS", 6)
    np.testing.assert_array_equal(read_image(path), PIXELS)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 5)
    assert "2 = 6 pixels, more than the limit of 5" in refusal(path)


@pytest.mark.parametrize(("suffix", "options"), LOSSLESS)
def test_large_image_below_the_limit_is_read_without_a_warning(
    suffix: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / f"picture.{suffix}", PIL.Image.fromarray(PIXELS), **options)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.warns(PIL.Image.DecompressionBombWarning), PIL.Image.open(path):
        pass

    np.testing.assert_array_equal(read_image(path), PIXELS)


# Anything as an image


def test_as_image_reads_paths(tmp_path: Path) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS))

    np.testing.assert_array_equal(as_image(path), PIXELS)
    np.testing.assert_array_equal(as_image(str(path)), PIXELS)
    with pytest.raises(InputError, match="missing"):
        as_image(tmp_path / "missing.png")


def test_as_image_returns_an_image_unchanged() -> None:
    image = PIXELS.copy()

    assert as_image(image) is image


def test_as_image_copies_what_torch_would_not_take() -> None:
    frozen = PIXELS.copy()
    frozen.flags.writeable = False
    bgr = PIXELS[:, :, ::-1].copy()

    for image in (as_image(frozen), as_image(bgr[:, :, ::-1])):
        np.testing.assert_array_equal(image, PIXELS)
        assert image.flags.c_contiguous
        assert image.flags.writeable


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_as_image_repeats_grey(shape: tuple[int, ...]) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(shape)

    image = as_image(grey)

    np.testing.assert_array_equal(image, [[[0] * 3, [1] * 3, [2] * 3], [[3] * 3, [4] * 3, [5] * 3]])
    image[0, 0, 0] = 9
    assert grey.ravel()[0] == 0


def test_as_image_lays_rgba_over_white() -> None:
    rgba = np.array([[[9, 8, 7, 0], [9, 8, 7, 255], [0, 0, 255, 128]]], np.uint8)

    np.testing.assert_array_equal(as_image(rgba), [[[255, 255, 255], [9, 8, 7], [127, 127, 255]]])


def test_as_image_turns_a_pillow_image_and_leaves_it_alone() -> None:
    picture = PIL.Image.fromarray(tiles(STORED))
    picture.getexif()[ExifTag.Orientation] = 8

    np.testing.assert_array_equal(as_image(picture), tiles(UPRIGHT[8]))
    np.testing.assert_array_equal(np.asarray(picture), tiles(STORED))
    assert picture.getexif()[ExifTag.Orientation] == 8


def test_as_image_converts_pillow_modes() -> None:
    np.testing.assert_array_equal(as_image(picture_of("LA", [[100, 0], [100, 255]])), [[[255] * 3, [100] * 3]])
    np.testing.assert_array_equal(as_image(PIL.Image.new("I;16", (1, 1), 65535)), [[[255] * 3]])


@pytest.mark.parametrize(("mode", "found"), [("F", "floating-point values"), ("La", "conversion")])
def test_as_image_refuses_pillow_modes_without_a_conversion(mode: str, found: str) -> None:
    with pytest.raises(InputError, match=f"^Pillow image: expected a readable image, got: {found}"):
        as_image(PIL.Image.new(mode, (2, 2)))


def test_as_image_refuses_a_pillow_image_without_pixels() -> None:
    with pytest.raises(InputError, match="without pixels"):
        as_image(PIL.Image.new("RGB", (0, 4)))


def test_as_image_names_the_file_of_a_truncated_pillow_image(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(PIL.Image.fromarray(tiles(STORED)), "JPEG")[:-4])

    with PIL.Image.open(path) as picture, pytest.raises(InputError, match=r"picture\.jpg: .*truncated"):
        as_image(picture)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 3, 3), np.float32), "got float32 [2, 3, 3]"),
        (np.zeros((2, 3, 3), np.int64), "got int64 [2, 3, 3]"),
        (np.zeros((2, 3), bool), "got bool [2, 3]"),
        (np.zeros((3, 20, 30), np.uint8), "got uint8 [3, 20, 30]"),
        (np.zeros((1, 2, 3, 3), np.uint8), "got uint8 [1, 2, 3, 3]"),
        (np.zeros((2, 3, 2), np.uint8), "got uint8 [2, 3, 2]"),
        (np.zeros(3, np.uint8), "got uint8 [3]"),
        (np.zeros((0, 3, 3), np.uint8), "got uint8 [0, 3, 3]"),
        (np.zeros((3, 0), np.uint8), "got uint8 [3, 0]"),
    ],
)
def test_as_image_refuses_other_arrays(array: NDArray[Any], found: str) -> None:
    with pytest.raises(ValueError, match="must be uint8") as caught:
        as_image(array)
    assert str(caught.value).endswith(found)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (torch.zeros(2, 3, 3, dtype=torch.uint8), "Tensor"),
        ([[[0, 0, 0]]], "list"),
        (None, "NoneType"),
        (b"a.jpg", "bytes"),
    ],
)
def test_as_image_refuses_other_types(value: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected a path, a Pillow image or an array .*, got {found}$"):
        as_image(value)


# Finding files


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with images, other files, and a folder named like an image."""
    names = [
        "b.jpg",
        "a.PNG",
        "c.JPEG",
        "notes.txt",
        "noext",
        "sub/d.webp",
        "sub/deep/e.tif",
        "[x].bmp",
        "none/readme.md",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found_names(sources: Sequence[str]) -> list[str]:
    paths, errors = find_images(sources)
    assert errors == []
    return [path.as_posix() for path in paths]


def test_suffixes_are_lower_case_and_sorted() -> None:
    assert list(IMAGE_SUFFIXES) == sorted(suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"} == set(IMAGE_SUFFIXES)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], []),
        (["b.jpg"], ["b.jpg"]),
        (["notes.txt", "noext"], ["notes.txt", "noext"]),  # named explicitly: read_image goes by content
        (["."], ["[x].bmp", "a.PNG", "b.jpg", "c.JPEG"]),
        (["sub", "b.jpg"], ["sub/d.webp", "b.jpg"]),
        (["b.jpg", "sub"], ["b.jpg", "sub/d.webp"]),
        (["*.jpg"], ["b.jpg"]),
        (["[x].bmp"], ["[x].bmp"]),  # a name that is there is no pattern
        (["[ab].*"], ["a.PNG", "b.jpg"]),
        (["sub/*"], ["sub/d.webp"]),
        (["sub/**"], ["sub/d.webp", "sub/deep/e.tif"]),
        (["**/*.tif"], ["sub/deep/e.tif"]),
        (["?.jpg", "b.jpg", "./b.jpg", "."], ["b.jpg", "[x].bmp", "a.PNG", "c.JPEG"]),
    ],
)
def test_find_images(sources: list[str], expected: list[str]) -> None:
    assert found_names(sources) == expected


def test_find_images_by_absolute_pattern_and_name(photos: Path) -> None:
    assert found_names([f"{photos}/**/*.webp"]) == [(photos / "sub/d.webp").as_posix()]
    assert found_names(["b.jpg", str(photos / "b.jpg")]) == ["b.jpg"]


@pytest.mark.usefixtures("photos")
def test_bad_sources_do_not_stop_the_others() -> None:
    paths, errors = find_images(["missing.jpg", "b.jpg", "none", "*.gif", "", "sub"])

    assert [path.as_posix() for path in paths] == ["b.jpg", "sub/d.webp"]
    assert all(isinstance(error, InputError) and "\n" not in str(error) for error in errors)
    messages = [str(error) for error in errors]
    assert [message.split(": expected an image file")[0] for message in messages] == [
        "missing.jpg",
        "none",
        "*.gif",
        "''",
    ]
    assert [message.rsplit(", got ")[1] for message in messages] == [
        "no such file",
        "a folder without any",
        "no such file",
        "no such file",
    ]
    assert all(".bmp .jpeg .jpg .png .tif .tiff .webp" in message for message in messages)


def test_folder_that_cannot_be_listed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(self))

    monkeypatch.setattr(Path, "iterdir", refuse)

    paths, errors = find_images([str(photos), "b.jpg"])

    assert paths == [Path("b.jpg")]
    assert [str(error) for error in errors] == [
        f"{photos}: expected an image file, a folder or a pattern, got: Permission denied"
    ]
