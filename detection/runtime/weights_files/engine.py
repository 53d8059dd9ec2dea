"""Functions that both engines use: PyTorch, and ONNX Runtime on a CPU, which compute the networks of weights files.

This module does not import PyTorch, which a light installation does not have.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from detection.errors import InputError, is_out_of_memory

Precision = Literal["float32", "bfloat16", "int8"]
"""The number type of a network. With int8, convolutions compute in bytes (`detection.runtime.int8`), and the rest in
float32."""

ONNX_SUFFIX = ".onnx"

DEVICE_NAMES = "cpu, cuda, or cuda:N for GPU number N"


@dataclass(frozen=True)
class Cpu:
    """The CPU as the device of an ONNX file; it has the attribute of `torch.device` that other code reads."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


def find_file(name: str, shipped: Path) -> Path:
    """Return the path of a file; a bare name may also be that of a file in the folder `shipped` or its subfolders."""
    path = Path(name)
    if path.name != name or os.path.isfile(path):  # noqa: PTH113
        return path
    folders = [shipped, *sorted(entry for entry in shipped.iterdir() if entry.is_dir())]
    return next((folder / name for folder in folders if os.path.isfile(folder / name)), path)  # noqa: PTH113


def computable_file(path: Path) -> Path:
    """Return a weights file that this installation can compute: the file, or without PyTorch the ONNX file beside it.

    Raises:
        InputError: naming the file, if it needs PyTorch and there is no ONNX file beside it.
    """
    if path.suffix == ONNX_SUFFIX or has_torch() or not os.path.isfile(path):  # noqa: PTH113
        return path
    beside = path.with_suffix(ONNX_SUFFIX)
    if beside.is_file():
        return beside
    raise InputError(
        f"{path}: expected PyTorch to compute it with, or an ONNX file beside it; pip install torch, or write the "
        "detector with detect-export where PyTorch is installed"
    )


def has_torch() -> bool:
    """Return True if PyTorch is installed."""
    return find_spec("torch") is not None


def is_device_name(name: str) -> bool:
    """Return True if a name is one of `DEVICE_NAMES`; PyTorch knows more, on which no network was tested."""
    return re.fullmatch(r"cpu(:0)?|cuda(:[0-9]{1,3})?", name) is not None


def find_onnx_device(name: str | None, precision: Precision | None, *, stored: Precision, source: object) -> Cpu:
    """Return the device of the network of an ONNX file, which is the CPU.

    Args:
        name: the device that the user chose, or None.
        precision: the number type that the user chose, or None.
        stored: the number type of the file, which cannot be changed any more.
        source: the file, which errors name.

    Raises:
        InputError: if the user chose another device or number type.
    """
    if name not in (None, "cpu"):
        raise InputError(f"{source}: expected device cpu for an ONNX file, got {name}; a GPU needs safetensors")
    if precision not in (None, stored):
        raise InputError(f"{source}: expected precision {stored}, with which detect-export wrote it, got {precision}")
    return Cpu()


@contextmanager
def naming_full_memory(device: object) -> Iterator[None]:
    """Turn an error of an engine into an `InputError` if memory ran out."""
    try:
        yield
    except RuntimeError as error:
        raise_out_of_memory(error, device)
        raise


def raise_out_of_memory(error: RuntimeError, device: object) -> None:
    """Raise an `InputError` that names the device, if the error of an engine says that its memory ran out."""
    if is_out_of_memory(error):
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device}: expected enough memory, got: {reason}") from error
