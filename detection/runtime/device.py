"""Where a network runs and in which numbers, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import nn

from detection.errors import DeviceError, InputError
from detection.runtime.batch_norm_folding import fold_batch_norm
from detection.runtime.int8 import Quantisable, runs_int8

Precision = Literal["float32", "bfloat16", "int8"]
"""Numbers of a network. int8: convolutions read and write bytes (`detection.runtime.int8`), the rest is in float32."""


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


def find_precision(name: Precision | None, device: torch.device, *, can_quantise: bool, source: object) -> Precision:
    """The named precision, or what is fastest: bfloat16 on a GPU, and on a CPU int8 where that can be, else float32.

    Args:
        name: of the user.
        device: of the network.
        can_quantise: whether the network can compute in bytes.
        source: what an error names, such as the network's file.

    Raises:
        InputError: if int8 is asked for where it cannot be.
    """
    if name is None:
        if device.type == "cuda":
            return "bfloat16"
        return "int8" if can_quantise and runs_int8() else "float32"
    if name == "int8":
        if device.type != "cpu":
            raise InputError(f"{source}: precision int8 needs device cpu, got {device}")
        if not can_quantise:
            raise InputError(f"{source}: precision int8 needs a network with batch normalisation throughout")
        if not runs_int8():
            raise InputError(f"{source}: precision int8 needs a processor for which PyTorch has convolutions of bytes")
    return name


def number_type(precision: Precision) -> torch.dtype:
    """The type of what a network reads, and of its weights that are not quantised."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def to_device(network: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """The network on its device, changed in place for evaluation: quantised or not, normalisation folded."""
    if precision == "int8":
        cast(Quantisable, network).quantise()
    fold_batch_norm(network)
    return cast(nn.Module, network.to(device, number_type(precision), memory_format=torch.channels_last))  # type: ignore[call-overload]


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
