"""Functions that both engines use: PyTorch, and ONNX Runtime on a CPU, which compute the networks of weights files.

This module does not import PyTorch, which a light installation does not have.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

from detection.errors import InputError, is_out_of_memory, reason_of

Loaded = TypeVar("Loaded")

Precision = Literal["float32", "bfloat16", "int8"]
"""The number type of a network. With int8, convolutions compute in bytes (`detection.runtime.int8`), and the rest in
float32."""

ONNX_SUFFIX = ".onnx"

DEVICE_NAMES = "cpu, cuda, or cuda:N for GPU number N"

DRIVER_FILES = (
    *("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"),  # NVIDIA on Linux, any GPU on Linux within Windows, AMD
    "C:/Windows/System32/nvcuda.dll",
)
"""Files that exist where the driver of a GPU is loaded that PyTorch may be able to use."""


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


def load_by_engine(
    path: Path,
    device: str | None,
    precision: Precision | None,
    *,
    onnx: Callable[[Path, str | None, Precision | None, Path | None], Loaded],
    tensors: Callable[[Path, str | None, Precision | None], Loaded],
) -> Loaded:
    """Load a network with the engine that suits the machine.

    On a CPU, ONNX Runtime computes a network as fast as PyTorch, and its import takes seconds less. So the ONNX file
    beside a safetensors file takes its place there, unless the user chose a precision. If it cannot be used, for
    example because the weights have changed since it was written, or because it has weights of its own, PyTorch
    computes the safetensors file.

    Args:
        path: a safetensors or an ONNX file.
        device: the device that the user chose, or None.
        precision: the number type that the user chose, or None.
        onnx: loads an ONNX file; it is called with a path, a device, a precision, and the safetensors file in whose
            place it is loaded, or None.
        tensors: loads a safetensors file by PyTorch.

    Raises:
        InputError: naming the file, if it cannot be used, or needs PyTorch, which is not installed.
    """
    if path.suffix == ONNX_SUFFIX:
        return onnx(path, device, precision, None)
    beside = path.with_suffix(ONNX_SUFFIX)
    on_cpu = device == "cpu" or (device is None and not may_have_gpu())
    suits = not has_torch() or (on_cpu and precision is None and has_onnx_runtime())
    if suits and os.path.isfile(beside):  # noqa: PTH113  also for names that no file can have
        try:
            return onnx(beside, device, precision, path)
        except InputError:
            if not has_torch():
                raise
    if not has_torch() and os.path.isfile(path):  # noqa: PTH113
        raise InputError(
            f"{path}: expected PyTorch to compute it with, or an ONNX file beside it; pip install torch, or write the "
            "detector with detect-export where PyTorch is installed"
        )
    return tensors(path, device, precision)


def has_torch() -> bool:
    """Return True if PyTorch is installed."""
    return find_spec("torch") is not None


def has_onnx_runtime() -> bool:
    """Return True if ONNX Runtime is installed."""
    return find_spec("onnxruntime") is not None


def may_have_gpu() -> bool:
    """Return True if the driver of a GPU is loaded. Only PyTorch, whose import takes time, knows if it can be used."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(os.path.exists(file) for file in DRIVER_FILES)  # noqa: PTH110


def is_device_name(name: str) -> bool:
    """Return True if a name is one of `DEVICE_NAMES`; PyTorch knows more, on which no network was tested."""
    return re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name) is not None


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
        reason = reason_of(error).splitlines()[0]
        raise InputError(f"device {device}: expected enough memory, got: {reason}") from error
