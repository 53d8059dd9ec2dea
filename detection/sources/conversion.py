"""`as_image` converts whatever holds a single image to RGB uint8 [H, W, 3]: a file, bytes, a Pillow image, an array."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
import PIL.Image
import PIL.ImageFile
from numpy.typing import NDArray

from detection.datasets.files.text_file import is_file
from detection.image import decode_image, from_pillow, read_image
from detection.structures.arrays import Image

if TYPE_CHECKING:  # PyTorch is slow to import, and a tensor exists only where it is imported already
    from torch import Tensor

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | PIL.Image.Image | Tensor"
"""The types of values that `as_image` turns into an image."""


def as_image(image: ImageInput) -> Image:
    """Return a single image as RGB uint8 [H, W, 3], contiguous and writable.

    A path, the bytes of an image file, a file that is open in binary mode, and a Pillow image are read as in
    `read_image`. Arrays are uint8: [H, W, 3] RGB, which is returned unchanged if it is contiguous and writable; [H, W]
    or [H, W, 1] grey; or [H, W, 4] RGBA, which is laid over white. Tensors of PyTorch are RGB [3, H, W], either uint8
    or floating-point numbers in 0-1.

    Raises:
        InputError: if a file or a Pillow image cannot be read.
        ValueError: if `image` is something else, or an array or tensor of another type, shape or range.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    match image:
        case bytes() | bytearray() | memoryview():
            return decode_image(bytes(image), name="bytes of an image")
        case PIL.Image.Image():
            return from_pillow(image)
        case np.ndarray():
            return _from_array(image)
    if _is_tensor(image):
        return _from_tensor(cast("Tensor", image))
    if callable(getattr(image, "read", None)):
        file = cast(BinaryIO, image)
        return decode_image(file, name=str(getattr(file, "name", "") or "open file"))
    raise ValueError(
        "expected a path, bytes, an open file, a Pillow image, an array uint8 [H, W, 3] or a tensor [3, H, W], "
        f"got {type(image).__qualname__}"
    )


def is_single(value: object) -> bool:
    """Return True if a value stands for itself, such as a path or an array, and is not an iterable of images."""
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | PIL.Image.Image | np.ndarray):
        return True
    return _is_tensor(value) or hasattr(value, "read")


def own_copy(image: ImageInput) -> ImageInput:
    """Return an image whose values stay as they are if somebody writes into an array, tensor or buffer."""
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, PIL.ImageFile.ImageFile):
        return image  # reads a file, perhaps later, which may fail
    if isinstance(image, np.ndarray | PIL.Image.Image):
        return image.copy()
    return cast("Tensor", image).clone() if _is_tensor(image) else image


def _is_tensor(image: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _from_array(array: NDArray[Any]) -> Image:
    if array.dtype == np.uint8 and array.size > 0:
        match array.shape:
            case (_, _, 3):
                return np.require(array, requirements=["C", "W"])
            case (height, width) | (height, width, 1):
                return np.repeat(array.reshape(height, width, 1), 3, axis=2)
            case (_, _, 4):
                return from_pillow(PIL.Image.fromarray(array))
    raise ValueError(
        "an image array must be uint8, [H, W, 3] RGB, [H, W] or [H, W, 1] grey or [H, W, 4] RGBA, "
        f"got {array.dtype} {list(array.shape)}"
    )


def _from_tensor(tensor: Tensor) -> Image:
    name = str(tensor.dtype).removeprefix("torch.")
    has_numbers = name == "uint8" or tensor.is_floating_point()
    if not has_numbers or tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.numel():
        raise ValueError(
            "an image tensor must be RGB [3, H, W], uint8 or floating-point numbers in 0-1, "
            f"got {name} {list(tensor.shape)}"
        )
    values = tensor.detach().cpu()
    if name != "uint8":
        values = values.float()
        low, high = values.min().item(), values.max().item()
        if not (low >= 0 and high <= 1):  # also if a value is nan
            raise ValueError(f"an image tensor of type {name} must have values in 0-1, got {low:g} to {high:g}")
        values = (values * 255).round().byte()
    return np.array(values.permute(1, 2, 0).numpy(), order="C")


def lasting_picture(image: object, pixels: Image) -> object:
    """Return what detections remember as their picture: the file, array or Pillow image, or the pixels of others.

    A path is made absolute, so that the working directory may change. A pipe can be read only once.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image).absolute()
        return path if is_file(path) else pixels
    return image if isinstance(image, np.ndarray | PIL.Image.Image) else pixels
