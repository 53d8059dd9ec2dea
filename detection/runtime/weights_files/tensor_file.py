"""Reads and writes weights files: safetensors whose metadata describes how to build the network.

The content of the description is defined by each kind of network, in `classifier.scoring.description` and
`proposals.multibox.description`.
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detection.errors import InputError, reason_of
from detection.runtime.atomic_write import write_atomically
from detection.runtime.device import prepare_forked

Built = TypeVar("Built")

Storage = Literal["float16", "int8"]
"""The number type of stored weights. With int8, the weights of convolutions and linear layers have one scale for each
output channel (Krishnamoorthi, arXiv 1806.08342, section 3.1), which halves the file; other tensors are float16."""

SCALE_SUFFIX = ".int8_scale"
"""An int8 tensor is multiplied by the float32 tensor [outputs] whose name has this suffix."""

LARGEST_INT8 = 127

INITIALISING = frozenset({Tensor.normal_, Tensor.uniform_})
"""Methods that layers call directly to initialise weights, instead of a function of `torch.nn.init`."""


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, key: str, description: dict[str, Any], stored_as: Storage = "float16"
) -> None:
    """Write the parameters and buffers of a network in fewer bits, atomically.

    Args:
        path: the file; its folder is created if necessary.
        tensors: the parameters and buffers by name.
        key: the name of the description in the metadata of the file. Each kind of network has its own.
        description: anything that can be stored as JSON.
        stored_as: the number type of the weights.

    Raises:
        InputError: naming the file, if it cannot be written. An earlier file of that name is kept.
    """
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if stored_as == "int8" and _is_of_layer(name, value):
            stored[name], stored[name + SCALE_SUFFIX] = _to_int8(value.detach())
        else:
            stored[name] = _half_precision(value).contiguous()
    write_atomically(path, save(stored, metadata={key: json.dumps(description)}))


def read_tensors(
    path: Path, build: Callable[[dict[str, Any], dict[str, Tensor]], Built], *, key: str, content: str
) -> Built:
    """Read a weights file, and return what `build` makes of its description and its tensors in float32.

    Args:
        path: a file of `write_tensors`.
        build: a function that raises `ValueError`, `TypeError`, `KeyError` or `RuntimeError` if the description and the
            tensors do not fit each other.
        key: the name of the description in the metadata.
        content: the expected kind of network for error messages, such as "a region classifier".

    Raises:
        InputError: naming the file, if it is missing, broken, of another kind, or `build` raised an error.
    """
    prepare_forked(torch.device("cpu"))
    if not os.path.isfile(path):  # noqa: PTH113  also for names that no file can have
        raise InputError(f"{path}: no such weights file; expected safetensors of {content}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = (file.metadata() or {}).get(key)
        tensors = _restored(load(path.read_bytes()))  # one read takes a third of the time
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: expected safetensors of {content}, cannot read it: {error}") from None
    if metadata is None:
        raise InputError(f"{path}: expected weights of {content}, found no '{key}' in its metadata")
    try:
        return build(json.loads(metadata), tensors)
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError) as error:
        reason = reason_of(error).splitlines()[0]
        raise InputError(f"{path}: expected weights that fit their description: {reason}") from None


def metadata_keys(path: Path) -> set[str]:
    """Return the names in the metadata of a safetensors file; none if it is not such a file."""
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.metadata() or ())
    except (SafetensorError, OSError):
        return set()


class WithoutInitialisation(TorchFunctionMode):
    """Within this context, modules are built without initial weights, which a file will replace anyway."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if function in INITIALISING or getattr(function, "__module__", "") == "torch.nn.init":
            return arguments[0] if arguments else options["tensor"]
        return function(*arguments, **options)


def build_network(class_path: str, *arguments: Any, **options: Any) -> nn.Module:
    """Return a new network of the class with this import path.

    Raises:
        ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
    """
    module_name, _, class_name = str(class_path).rpartition(".")
    if not module_name.startswith("classifier."):  # a file must not import any other module
        raise ValueError(f"expected a network of the package classifier, got {class_path}")
    try:
        network = getattr(importlib.import_module(module_name), class_name)(*arguments, **options)
    except (ImportError, AttributeError, TypeError, ArithmeticError) as error:  # such as infinite widths
        raise ValueError(f"cannot build {class_path}: {error}") from None
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network, got {class_path}")
    return network


def _half_precision(tensor: Tensor) -> Tensor:
    """Return a tensor in float16, unless a value above 65504, such as a variance, would become infinite."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor


def _is_of_layer(name: str, tensor: Tensor) -> bool:
    """Return True for the finite weights of a convolution or a linear layer."""
    return name.endswith("weight") and tensor.ndim > 1 and bool(tensor.isfinite().all())


def _to_int8(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return a tensor [outputs, ...] as int8, and the scales [outputs] to multiply it by."""
    rows = tensor.float().flatten(1)
    scale = rows.abs().amax(dim=1) / LARGEST_INT8
    steps = rows / torch.where(scale > 0, scale, 1).unsqueeze(1)
    return steps.round().to(torch.int8).view(tensor.shape), scale


def _restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return stored tensors in float32."""
    scales = {name.removesuffix(SCALE_SUFFIX): value for name, value in stored.items() if name.endswith(SCALE_SUFFIX)}
    tensors = {}
    for name, value in stored.items():
        if name in scales:
            tensors[name] = value * scales[name].view(-1, *[1] * (value.ndim - 1))
        elif not name.endswith(SCALE_SUFFIX):
            tensors[name] = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    return tensors
