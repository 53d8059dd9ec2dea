"""Pixels of other widths than 8 bits, transparent colours, and other codings of PNG and TIFF: right, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.image import read_image
from detection.sources.conversion import as_image
from tests.detection.image.image_files import png, refusal, tiff


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_grey_of_a_png(bits: int, tmp_path: Path) -> None:
    white = 2**bits - 1
    path = tmp_path / "picture.png"
    for transparent in (0, white):
        path.write_bytes(png(0, bits, [[[0], [white], [white - 1]]], [transparent]))
        grey = [255 if value == transparent else round(value * 255 / white) for value in (0, white, white - 1)]
        assert read_image(path)[0, :, 0].tolist() == grey


def test_only_the_full_16_bits_of_a_grey_are_transparent(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(0, 16, [[[0x1234], [0x1235]]], [0x1234]))
    assert read_image(path)[0, :, 0].tolist() == [255, 0x1235 // 257]
    with PIL.Image.open(path) as picture:
        assert as_image(picture)[0, :, 0].tolist() == [255, 0x1235 // 257]


def test_transparent_16_bit_colour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"  # Pillow keeps the high bytes alone, which both pixels share
    path.write_bytes(png(2, 16, [[[0, 0, 1], [0, 0, 0]]], [0, 0, 0]))
    assert "16-bit colours of which one is transparent" in refusal(path)
    path.write_bytes(png(2, 16, [[[0, 0, 1], [0, 0, 65535]]]))
    assert read_image(path).tolist() == [[[0, 0, 0], [0, 0, 255]]]


@pytest.mark.parametrize(("photometric", "expected"), [(0, [55, 0, 255]), (1, [200, 255, 0])])
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_tiff_whose_zero_is_white(photometric: int, expected: list[int], bits: int, tmp_path: Path) -> None:
    values = np.array([[200, 255, 0]], np.uint8) if bits == 8 else np.array([[51400, 65535, 0]], "<u2")
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff(values.tobytes(), (1, 3), BITSPERSAMPLE=[bits], PHOTOMETRIC_INTERPRETATION=[photometric]))
    assert read_image(path)[0, :, 0].tolist() == expected


def test_grey_tiff_of_12_bits(tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"  # 0xFFF and 0x000 are white and black, 0x800 is 2048 * 255 / 4095 = 127.5
    path.write_bytes(tiff(b"\xff\xf0\x00\x80\x00\x00", (1, 4), BITSPERSAMPLE=[12], PHOTOMETRIC_INTERPRETATION=[1]))
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 128, 0]


def test_tiff_with_planes_apart(tmp_path: Path) -> None:
    colours = {"PHOTOMETRIC_INTERPRETATION": [2], "PLANAR_CONFIGURATION": [2]}
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff(bytes([1, 2, 3, 4, 5, 6]), (1, 2), BITSPERSAMPLE=[8] * 3, **colours))
    assert read_image(path).tolist() == [[[1, 3, 5], [2, 4, 6]]]
    path.write_bytes(tiff(bytes(12), (1, 2), BITSPERSAMPLE=[16] * 3, **colours))
    assert "16-bit colours in separate planes" in refusal(path)


def test_signed_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff(b"\xff", (1, 1), BITSPERSAMPLE=[8], PHOTOMETRIC_INTERPRETATION=[1], SAMPLEFORMAT=[2]))
    assert "signed 8-bit values" in refusal(path)
