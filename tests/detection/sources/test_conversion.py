"""`as_image` converts everything that holds an image to one kind of array."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError
from detection.sources.conversion import as_image
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
    ("value", "found"), [([[[0, 0, 0]]], "list"), (None, "NoneType"), (3, "int"), ({"a": 1}, "dict")]
)
def test_as_image_refuses_other_types(value: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected a path, bytes, an open file, a Pillow image, .*, got {found}$"):
        as_image(value)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_as_image_reads_bytes(kind: Any) -> None:
    content = encode(PIL.Image.fromarray(PIXELS), "PNG")

    np.testing.assert_array_equal(as_image(kind(content)), PIXELS)
    with pytest.raises(InputError, match=r"^bytes of an image: expected a readable image, got: an empty file$"):
        as_image(kind(b""))
    with pytest.raises(InputError, match=r"^bytes of an image: .* JPEG, PNG, WebP, BMP or TIFF .*GIF89a"):
        as_image(kind(b"GIF89a"))


def test_as_image_reads_open_files_from_their_beginning(tmp_path: Path) -> None:
    path = save(tmp_path / "picture.png", PIL.Image.fromarray(PIXELS))

    with path.open("rb") as file:
        file.seek(5)
        np.testing.assert_array_equal(as_image(file), PIXELS)
        assert not file.closed
    np.testing.assert_array_equal(as_image(io.BytesIO(path.read_bytes())), PIXELS)


class Trickle(io.RawIOBase):
    """A stream that gives three bytes at a time, as a socket may do."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.content.read(min(3, size) if size >= 0 else 3)


def test_as_image_reads_streams_that_cannot_be_rewound() -> None:
    stream: Any = Trickle(encode(PIL.Image.fromarray(PIXELS), "PNG"))
    np.testing.assert_array_equal(as_image(stream), PIXELS)


@pytest.mark.parametrize("content", [b"abc", encode(PIL.Image.fromarray(PIXELS), "PNG")])
def test_as_image_refuses_files_that_are_open_as_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(content)

    with path.open() as file, pytest.raises(InputError, match=r"picture\.txt: .* a file of text; open it in binary"):
        as_image(file)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^open file: .* a file of text; open it in binary"):
        as_image(io.StringIO("abc"))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_as_image_reads_tensors(dtype: torch.dtype) -> None:
    values = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)  # not contiguous
    tensor = values if dtype == torch.uint8 else (values.double() / 255).to(dtype).requires_grad_()

    image = as_image(tensor)

    np.testing.assert_array_equal(image, PIXELS)
    assert image.flags.c_contiguous
    image[:] = 0
    np.testing.assert_array_equal(as_image(tensor), PIXELS)  # the tensor has not changed


def test_as_image_rounds_tensors() -> None:
    shares = torch.tensor([0.0, 0.499, 0.501, 1.0]) * torch.tensor([1, 1 / 255, 1 / 255, 1])

    assert as_image(shares.expand(3, 1, 4))[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (torch.zeros(2, 3, 3, dtype=torch.uint8), "got uint8 [2, 3, 3]"),
        (torch.zeros(1, 3, 4, 4), "got float32 [1, 3, 4, 4]"),
        (torch.zeros(3, 0, 4), "got float32 [3, 0, 4]"),
        (torch.zeros(3, 2, 2, dtype=torch.int64), "got int64 [3, 2, 2]"),
        (torch.zeros(3, 2, 2, dtype=torch.bool), "got bool [3, 2, 2]"),
        (torch.full((3, 2, 2), 255.0), "values in 0-1, got 255 to 255"),
        (torch.full((3, 2, 2), -0.1), "values in 0-1, got -0.1 to -0.1"),
        (torch.full((3, 2, 2), torch.nan), "values in 0-1, got nan to nan"),
    ],
)
def test_as_image_refuses_other_tensors(tensor: torch.Tensor, found: str) -> None:
    with pytest.raises(ValueError, match="an image tensor") as caught:
        as_image(tensor)
    assert str(caught.value).endswith(found)
