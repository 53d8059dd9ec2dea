"""Where a network runs and in which numbers, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from detection.errors import DeviceError, InputError

Precision = Literal["float32", "bfloat16"]


def find_device(name: str | None) -> torch.device:
    """The named device, or the best there is.

    Raises:
        InputError: if the name is unknown, the device is not there, or is of a kind that was never tried.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = "expected cpu, or cuda where there is a GPU"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise InputError(f"device {name}: {expected}")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name}: {expected}: {str(error).splitlines()[0]}") from None
    return device


def find_precision(name: Precision | None, device: torch.device) -> torch.dtype:
    """The named type of numbers, or what suits the device: bfloat16 on a GPU, float32 elsewhere."""
    default: Precision = "bfloat16" if device.type == "cuda" else "float32"
    dtype: torch.dtype = getattr(torch, name or default)
    return dtype


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that the device has no memory left; on a CPU it is of no class of its own."""
    signs = ("DefaultCPUAllocator: ", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


@contextmanager
def naming_failed_device(device: torch.device) -> Iterator[None]:
    """Name the device where PyTorch finds it lost, as a `DeviceError`, or without memory, as an `InputError`."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        if is_out_of_memory(error):
            raise InputError(f"device {device}: expected enough memory, got: {reason}") from error
        if isinstance(error, torch.AcceleratorError):
            raise DeviceError(f"device {device}: expected it to last, lost it: {reason}") from error
        raise
