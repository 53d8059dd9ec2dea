"""Weights of a network in one safetensors file that says how to rebuild it.

What the description holds is the business of each kind of network; here is how it is kept.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically

Built = TypeVar("Built")

Storage = Literal["float16", "int8"]
"""How weights are kept; as int8 those of convolutions and linear layers, in half of the bytes, with a scale each output
channel (Krishnamoorthi, arXiv 1806.08342, section 3.1), and the rest as float16."""

SCALE_SUFFIX = ".int8_scale"
"""Of the name of the float32 tensor [outputs] that the int8 tensor of the name before it is to be multiplied by."""

LARGEST_INT8 = 127

INITIALISING = frozenset({Tensor.normal_, Tensor.uniform_})
"""What functions of `torch.nn.init` do that cannot be told to leave it."""


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    key: str,
    description: dict[str, Any],
    stored_as: Storage = "float16",
) -> None:
    """Write parameters and buffers in fewer bits than they have, atomically.

    Args:
        path: whose folder is made if need be.
        tensors: by name.
        key: of the description in the file's metadata; it tells the kinds of networks apart.
        description: whatever JSON can hold.
        stored_as: see `Storage`.

    Raises:
        InputError: naming the file, if it cannot be written; an earlier file of that name is still there then.
    """
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if stored_as == "int8" and _is_of_layer(name, value):
            stored[name], stored[name + SCALE_SUFFIX] = _to_int8(value.detach())
        else:
            stored[name] = _half_precision(value).contiguous()
    content = save(stored, metadata={key: json.dumps(description)})
    write_atomically(path, content)


def read_tensors(
    path: Path, build: Callable[[dict[str, Any], dict[str, Tensor]], Built], *, key: str, content: str
) -> Built:
    """What `build` makes of the description and the tensors of a file, which are in float32.

    Args:
        path: a file that `write_tensors` has written.
        build: may raise `ValueError`, `TypeError`, `KeyError` or `RuntimeError` where the two do not fit each other.
        key: of the description in the metadata.
        content: what the file is expected to hold, for messages: "a region classifier".

    Raises:
        InputError: naming the file, if it is missing, broken, of another kind, or `build` raised an error.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; expected safetensors of {content}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = (file.metadata() or {}).get(key)
        tensors = _restored(load(path.read_bytes()))  # together they take a third of the time
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: expected safetensors of {content}, cannot read it: {error}") from None
    if metadata is None:
        raise InputError(f"{path}: expected weights of {content}, found no '{key}' in its metadata")
    try:
        return build(json.loads(metadata), tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: expected weights that fit their description: {reason}") from None


class WithoutInitialisation(TorchFunctionMode):
    """Modules that are built meanwhile hold whatever memory held: for those that are to be filled from a file."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if function in INITIALISING or getattr(function, "__module__", "") == "torch.nn.init":
            return arguments[0] if arguments else options["tensor"]
        return function(*arguments, **options)


def build_network(class_path: str, *arguments: Any, **options: Any) -> nn.Module:
    """The network of that import path with fresh weights.

    Raises:
        ValueError: if the class is not a network of the package `classifier`, or refuses the arguments.
    """
    module_name, _, class_name = class_path.rpartition(".")
    if not module_name.startswith("classifier."):  # a file from elsewhere must not import at will
        raise ValueError(f"expected a network of the package classifier, got {class_path}")
    try:
        network = getattr(importlib.import_module(module_name), class_name)(*arguments, **options)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot build {class_path}: {error}") from None
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network, got {class_path}")
    return network


def find_file(name: str, shipped: Path) -> Path:
    """The file of that path, or else, for a bare name, that of the folder `shipped`."""
    path, alternative = Path(name), shipped / name
    return alternative if path.name == name and not path.is_file() and alternative.is_file() else path


def _half_precision(tensor: Tensor) -> Tensor:
    """Half of the bytes, unless a value above 65504, a variance perhaps, would become infinite."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor


def _is_of_layer(name: str, tensor: Tensor) -> bool:
    """Whether a tensor is the weight of a convolution or linear layer, and all of it can be scaled."""
    return name.endswith("weight") and tensor.ndim > 1 and bool(tensor.isfinite().all())


def _to_int8(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor [outputs, ...] as int8, and the scales [outputs] that bring it back."""
    rows = tensor.float().flatten(1)
    scale = rows.abs().amax(dim=1) / LARGEST_INT8
    steps = rows / torch.where(scale > 0, scale, 1).unsqueeze(1)
    return steps.round().to(torch.int8).view(tensor.shape), scale


def _restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in float32 that were stored in fewer bits."""
    scales = {name.removesuffix(SCALE_SUFFIX): value for name, value in stored.items() if name.endswith(SCALE_SUFFIX)}
    tensors = {}
    for name, value in stored.items():
        if name in scales:
            tensors[name] = value * scales[name].view(-1, *[1] * (value.ndim - 1))
        elif not name.endswith(SCALE_SUFFIX):
            tensors[name] = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    return tensors
