"""Files that `read_image` rejects, and the largest image that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from detection import image as image_module
from detection.errors import InputError
from detection.image import MAX_PIXELS, from_pillow, read_image
from tests.detection.image.image_files import (
    LOSSLESS,
    PIXELS,
    STORED,
    encode,
    png_chunk,
    png_header,
    refusal,
    save,
    tiles,
)


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.jpg")


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("got: a folder; `Detector.stream` reads the images in it")


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

    assert "got: a file that is cut short or damaged (" in refusal(path)


def test_jpeg_without_its_last_two_bytes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(PIL.Image.fromarray(tiles(STORED)), "JPEG")[:-2])

    assert "truncated" in refusal(path)


def test_webp_that_is_cut_short_is_told_with_its_length(tmp_path: Path) -> None:
    content = encode(PIL.Image.fromarray(PIXELS), "WEBP")
    path = tmp_path / "picture.webp"
    path.write_bytes(content[:-10])
    assert refusal(path).endswith(f"cut short or damaged ({len(content) - 10} of {len(content)} bytes)")
    path.write_bytes(content + b"more")  # which is ignored, as in other formats
    assert read_image(path).shape == (2, 3, 3)


def test_a_closed_image_of_pillow_is_not_called_damaged(tmp_path: Path) -> None:
    image = PIL.Image.open(save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS)))
    image.close()
    with pytest.raises(InputError, match=r"picture.png: .* got: an image of Pillow that is closed$"):
        from_pillow(image)


def test_kind_that_is_not_supported_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "picture.bmp"
    path.write_bytes(b"BM" + bytes(12) + b"\xb7" + bytes(300))
    assert refusal(path).endswith("got: Unsupported BMP header type (183)")
    path = save(tmp_path / "picture.tif", PIL.Image.fromarray(PIXELS))
    bits_of_a_value = b"\x08\0\x08\0\x08\0"
    assert path.read_bytes().count(bits_of_a_value) == 1
    path.write_bytes(path.read_bytes().replace(bits_of_a_value, b"\x05\0\x05\0\x05\0"))
    assert refusal(path).endswith("got: a kind of image that is not supported (unknown pixel mode)")


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
