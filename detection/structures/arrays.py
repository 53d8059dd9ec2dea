"""Names for the types of arrays that functions take and return, and what arrays and tensors have in common.

Detection computes with tensors of PyTorch where PyTorch computes the networks, and with NumPy arrays where ONNX Runtime
does. The same code works on both: `namespace` returns the module that has the functions, `numpy` or `torch`, in which
many functions have the same names and arguments.
"""

import importlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB, [H, W, 3]."""
FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

AnyArray: TypeAlias = Any
"""A NumPy array, or a tensor of PyTorch on any device. All such arguments of a function are arrays of one kind."""


class ArrayError(ValueError):
    """An array, or an object made of arrays, is not of the kind, shape or range that is expected."""


def require_image(image: Image) -> None:
    """Check that an image is an array uint8 [H, W, 3], which all stages of a detector expect.

    Raises:
        ArrayError: saying what was found.
    """
    if not isinstance(image, np.ndarray):
        raise ArrayError(f"an image must be an array uint8 [H, W, 3], got {type(image).__qualname__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ArrayError(f"an image must be an array uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")


def namespace(array: AnyArray) -> Any:
    """Return the module whose functions take the array: `numpy`, or `torch` for a tensor."""
    return np if isinstance(array, np.ndarray) else importlib.import_module("torch")


def as_numpy(array: AnyArray) -> NDArray[Any]:
    """Return an array as it is, or a tensor as an array on the host."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def as_kind_of(example: AnyArray, array: NDArray[Any]) -> AnyArray:
    """Return an array as it is, or as a tensor on the device of `example` if that is a tensor."""
    return array if isinstance(example, np.ndarray) else namespace(example).from_numpy(array).to(example.device)
