"""`as_image` converts paths, Pillow images and arrays to one kind of array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError
from detection.image import as_image
from tests.detection.image.image_files import PIXELS, STORED, UPRIGHT, encode, picture_of, save, tiles


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
