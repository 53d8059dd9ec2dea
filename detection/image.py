"""Reads image files, and finds them: `read_image` returns RGB uint8 [H, W, 3] whatever the file holds.

`as_image` also accepts Pillow images and arrays, and `find_images` expands folders and patterns.
"""

import glob
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ExifTags import Base as ExifTag

from detection.errors import InputError
from detection.structures.arrays import Image

IMAGE_SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The suffixes, in lower case, of the files that `find_images` takes from folders and patterns. `read_image` does not
look at the suffix but at the content."""

MAX_PIXELS = 178_956_970
"""The largest number of pixels in an image, such as 20,000 x 8,947; it is also Pillow's limit. The array takes 0.5 GB,
and decoding takes about three times that."""

Read = TypeVar("Read")

_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {
    rb"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    rb"RIFF....WEBP": WebPImagePlugin.WebPImageFile,
    rb"BM": BmpImagePlugin.BmpImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImagePlugin.TiffImageFile,
}

_SIDEWAYS = (5, 6, 7, 8)
"""The EXIF orientations that swap width and height."""


def read_image(path: str | os.PathLike[str]) -> Image:
    """Return the first frame of a JPEG, PNG, WebP, BMP or TIFF file as RGB uint8 [H, W, 3], contiguous and writable.

    The EXIF orientation is applied, transparency is laid over white, and 16-bit grey is scaled so that 65535 becomes
    255. Colour profiles are ignored.

    Raises:
        InputError: if the file cannot be opened, is damaged or truncated, has another format, more than `MAX_PIXELS`
            pixels, or values that are not 8 or 16 bits wide.
    """
    with _naming(os.fspath(path)), Path(path).open("rb") as file:
        return _ignoring_warnings_as_errors(lambda: _to_array(_open(file)))


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the size (height, width) of the array that `read_image` would return, from the header of the file.

    Only PNG and TIFF files are decoded, since their EXIF orientation may come after the pixels.

    Raises:
        InputError: as `read_image`, except that damage after the header may not be noticed.
    """
    with _naming(os.fspath(path)), Path(path).open("rb") as file:
        return _ignoring_warnings_as_errors(lambda: _upright_size(_open(file)))


def as_image(image: str | os.PathLike[str] | NDArray[Any] | PIL.Image.Image) -> Image:
    """Return a path, a Pillow image or an array as RGB uint8 [H, W, 3], contiguous and writable.

    Paths and Pillow images are read as in `read_image`. Arrays are uint8: [H, W, 3] RGB, which is returned unchanged if
    it is contiguous and writable; [H, W] or [H, W, 1] grey; or [H, W, 4] RGBA, which is laid over white.

    Raises:
        InputError: if a file or a Pillow image cannot be read.
        ValueError: if `image` is something else, or an array of another type or shape.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, PIL.Image.Image):
        with _naming(str(getattr(image, "filename", "")) or "Pillow image"):
            return _ignoring_warnings_as_errors(lambda: _to_array(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    raise ValueError(f"expected a path, a Pillow image or an array uint8 [H, W, 3], got {type(image).__qualname__}")


def find_images(sources: Sequence[str]) -> tuple[list[Path], list[InputError]]:
    """Return the image files of files, folders and glob patterns, and an error for each source without any.

    Errors are returned and not raised, so that a wrong source does not stop the others. A file may have any suffix. A
    folder stands for the images directly in it, and a pattern (`**` included) for the images that it matches, by suffix
    and sorted. The order of the sources is kept, and a file that is named twice is returned once.
    """
    images: dict[Path, Path] = {}
    errors = []
    for source in sources:
        try:
            for path in _expand(source):
                images.setdefault(path.absolute(), path)
        except InputError as error:
            errors.append(error)
        except OSError as error:
            errors.append(InputError(f"{source}: expected an image file, a folder or a pattern, got: {error.strerror}"))
    return list(images.values()), errors


def _expand(source: str) -> list[Path]:
    path = Path(source)
    is_folder = source != "" and path.is_dir()  # Path("") would be the working directory
    if not is_folder and path.is_file():
        return [path]
    # `Path.glob` refuses absolute patterns.
    matches = path.iterdir() if is_folder else map(Path, glob.glob(source, recursive=True))  # noqa: PTH207
    images = sorted(match for match in matches if match.suffix.lower() in IMAGE_SUFFIXES and match.is_file())
    if not images:
        raise InputError(
            f"{source or repr(source)}: expected an image file, or a folder or pattern with some "
            f"({' '.join(IMAGE_SUFFIXES)}), got {'a folder without any' if is_folder else 'no such file'}"
        )
    return images


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Turn every error into an `InputError` of one line that begins with `source`."""
    try:
        yield
    except Exception as error:  # for a damaged file, Pillow raises nearly anything, SyntaxError included
        text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise InputError(f"{source}: expected a readable image, got: {text}") from error


def _ignoring_warnings_as_errors(read: Callable[[], Read]) -> Read:
    """Call `read`, and once more without warnings if a warning was raised as an error.

    Pillow warns of damage that does not affect the pixels, such as a corrupt EXIF block, and `python -W error` must not
    make such a file unreadable. `catch_warnings` changes state that threads share, so it is only used if necessary.
    """
    try:
        return read()
    except Warning:
        with warnings.catch_warnings(action="ignore"):
            return read()


def _open(file: BinaryIO) -> PIL.Image.Image:
    """Open an image of which only the header is read.

    `PIL.Image.open` warns of images above 89 million pixels. Neither way to prevent this, the global `MAX_IMAGE_PIXELS`
    and `catch_warnings`, is safe with threads. So the class of the format is called, which does not check the size (but
    a TIFF of that size still causes a warning when it is decoded).
    """
    file.seek(0)
    header = file.read(12)
    file.seek(0)
    if not header:
        raise ValueError("an empty file")
    reader = next((reader for start, reader in _FORMATS.items() if re.match(start, header, re.DOTALL)), None)
    if reader is None:
        raise ValueError(f"a file that is not JPEG, PNG, WebP, BMP or TIFF (it starts with {header!r})")
    image = reader(file)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} = {width * height} pixels, more than the limit of {MAX_PIXELS}")
    return image


def _to_array(image: PIL.Image.Image) -> Image:
    if 0 in image.size:
        raise ValueError("an image without pixels")
    image.load()  # since the orientation may come after the pixels, see `_upright_size`
    if (orientation := _orientation(image)) != 1:
        image = image.copy()
        # `exif_transpose` fails where the rest of the EXIF block is damaged, so it gets the orientation alone.
        image.info = {key: value for key, value in image.info.items() if key == "transparency"}
        image.getexif()[ExifTag.Orientation] = orientation
        image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return _from_grey16(np.asarray(image))
    if image.mode == "F":
        raise ValueError("floating-point values, whose range is not defined; convert them to 8 bits first")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = PIL.Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    return _copy(image.convert("RGB") if image.mode != "RGB" else image)


def _upright_size(image: PIL.Image.Image) -> tuple[int, int]:
    """Return (height, width) of the image once its EXIF orientation is applied."""
    if isinstance(image, PngImagePlugin.PngImageFile | TiffImagePlugin.TiffImageFile):
        image.load()  # a PNG may have its EXIF block behind the pixels, and Pillow itself turns a TIFF when it loads it
    width, height = image.size
    return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def _orientation(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) where the EXIF block is damaged."""
    try:
        orientation: int = image.getexif().get(ExifTag.Orientation, 1)
    except Warning:
        raise
    except Exception:  # Pillow raises nearly anything for a damaged block; it says nothing about the pixels
        return 1
    return orientation


def _copy(image: PIL.Image.Image) -> Image:
    """Return the pixels of an RGB image. In bands it takes half the time of `np.array(image)`, which copies thrice."""
    width, height = image.size
    rows = max(1, (1 << 18) // width)  # 0.75 MB, which fit into the processor's cache
    if height <= rows:
        return np.array(image)
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        array[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return array


def _from_grey16(grey: NDArray[Any]) -> Image:
    """Convert 0-65535 [H, W] to 0-255 [H, W, 3], rounded; Pillow's own conversion cuts values off at 255."""
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise ValueError(f"grey values of {low} to {high}, which do not fit 16 bits; convert them to 8 bits first")
    return _from_array(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))  # 257 = 65535 / 255


def _from_array(array: NDArray[Any]) -> Image:
    if array.dtype == np.uint8 and array.size > 0:
        match array.shape:
            case (_, _, 3):
                return np.require(array, requirements=["C", "W"])
            case (height, width) | (height, width, 1):
                return np.repeat(array.reshape(height, width, 1), 3, axis=2)
            case (_, _, 4):
                return _to_array(PIL.Image.fromarray(array))
    raise ValueError(
        "an image array must be uint8, [H, W, 3] RGB, [H, W] or [H, W, 1] grey or [H, W, 4] RGBA, "
        f"got {array.dtype} {list(array.shape)}"
    )
