"""Chooses the device and the number type of a network, moves the network there, and names a device that fails.

`prepare_forked` lets a network be used in a process that was forked.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from detection.errors import DeviceError, InputError, reason_of
from detection.runtime.batch_norm_folding import fold_batch_norm
from detection.runtime.int8 import Quantisable, runs_int8
from detection.runtime.weights_files.engine import DEVICE_NAMES, Precision, is_device_name, raise_out_of_memory

_PROCESS = os.getpid()
"""The process that imported this module; a fork of it has another number."""


def find_device(name: str | None) -> torch.device:
    """Return the named device; without a name, a GPU if there is one, or else the CPU.

    Raises:
        InputError: if the name is unknown, there is no such device, or it is of a kind that was never tested.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not is_device_name(name):
        raise InputError(f"device {name}: expected {DEVICE_NAMES}")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (gpus := torch.cuda.device_count()):
        available = f"cpu or cuda:0 to cuda:{gpus - 1}" if gpus > 1 else "cpu or cuda:0" if gpus else "cpu"
        raise InputError(f"device {name}: expected {available}, because PyTorch finds {_count_gpus(gpus)}")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name}: expected a GPU that works, got: {reason_of(error).splitlines()[0]}") from None
    return device


def _count_gpus(number: int) -> str:
    return {0: "no GPU here", 1: "one GPU here"}.get(number, f"{number} GPUs here")


def find_precision(name: Precision | None, device: torch.device, *, can_quantise: bool, source: object) -> Precision:
    """Return the named precision; without a name, the fastest: bfloat16 on a GPU, and on a CPU int8 or else float32.

    Args:
        name: the choice of the user, or None.
        device: the device of the network.
        can_quantise: True if the network can compute in bytes.
        source: the file of the network, which errors name.

    Raises:
        InputError: if the user chose int8 but the network or the device does not support it.
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
    """Return the type of a network's input and of its weights that are not quantised."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def to_device(network: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """Change a network in place for evaluation, and move it: fold its normalisation, and quantise it for int8."""
    if precision == "int8":
        cast(Quantisable, network).quantise()
    fold_batch_norm(network)
    return cast(nn.Module, network.to(device, number_type(precision), memory_format=torch.channels_last))  # type: ignore[call-overload]


def prepare_forked(device: torch.device) -> None:
    """Set PyTorch to one thread if this process was forked from another one, so that a network can be used here.

    A forked process has none of the threads that PyTorch started before, and would wait for them for ever.

    Raises:
        InputError: if the device is a GPU that the parent process has used: then a fork cannot use it.
    """
    if os.getpid() == _PROCESS:
        return
    if device.type == "cuda" and not torch.cuda.is_initialized():
        expected = "expected a process that loads its own detector, or that is started by 'spawn'"
        raise InputError(f"device {device}: {expected}, got a fork of one that uses the GPU")
    if torch.get_num_threads() > 1:  # each thread of the process has a number of its own
        torch.set_num_threads(1)


@contextmanager
def naming_failed_device(device: torch.device) -> Iterator[None]:
    """Turn an error of PyTorch into an `InputError` if memory ran out, or a `DeviceError` if the GPU failed.

    Within this context a network may be used in a fork; see `prepare_forked`.
    """
    prepare_forked(device)
    try:
        yield
    except RuntimeError as error:
        raise_out_of_memory(error, device)
        if isinstance(error, torch.AcceleratorError):
            reason = reason_of(error).splitlines()[0]
            raise DeviceError(f"device {device}: the GPU stopped responding during the run: {reason}") from error
        raise
