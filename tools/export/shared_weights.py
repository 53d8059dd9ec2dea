"""Lets an ONNX file read its weights from the safetensors file beside it, so that they are stored once.

A tensor of an ONNX file may lie in another file: at a position in bytes ("external data"). safetensors stores numbers
as they are, so its tensors can be named this way. Operators of ONNX turn a stored tensor into the weights with which
the network computes, just as loading does in PyTorch: times the scale of each output channel, times the factor of the
normalisation that is folded into a convolution, and where the network computes in int8, times the ratio of the scales
of its input and output, and then rounded to bytes. ONNX Runtime does this once, when it opens the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from torch import Tensor, nn

from detection.runtime.weights_files.onnx_file import WEIGHTS_KEY
from detection.runtime.weights_files.tensor_file import SCALE_SUFFIX

LEAST_BYTES = 4096
"""Smaller tensors stay in the ONNX file."""

NUMBER_TYPES = {"I8": TensorProto.INT8, "F16": TensorProto.FLOAT16}
"""The types of stored weights, by the names of safetensors."""


class StoredTensor(NamedTuple):
    """A tensor in a safetensors file: its type and shape, and its position in bytes."""

    number_type: int
    shape: list[int]
    offset: int
    length: int


def share_weights(
    model: onnx.ModelProto, network: nn.Module, path: Path, *, prefix: str, ratios: Mapping[str, float]
) -> None:
    """Let a model read the weights of its layers from a safetensors file, in place.

    Args:
        model: the ONNX model of the network.
        network: the network as it was loaded: in float32, and with its normalisation.
        path: the safetensors file, beside which the model will lie.
        prefix: what the names of weights begin with in the model and not in the network.
        ratios: the `ratio` of each convolution of bytes, by the name of its weights in the model.

    Raises:
        ValueError: if the weights of the model are not those of the file.
    """
    stored = read_positions(path)
    factors = dict(layer_factors(network))
    added: list[onnx.NodeProto] = []
    for weight in list(model.graph.initializer):
        layer = weight.name.removeprefix(prefix).removesuffix(".weight")
        name = stored_name(layer, stored)
        if layer not in factors or name is None or len(weight.raw_data) < LEAST_BYTES:
            continue
        place = stored[name]
        if place.shape != list(weight.dims) or place.number_type not in NUMBER_TYPES.values():
            continue
        numbers, scales = _read(path, name)
        # One after the other, as PyTorch does it: numbers halfway between two bytes are then rounded alike.
        ratio = np.full_like(scales, ratios.get(weight.name, 1.0))
        steps = [_by_channel(factor, numbers.ndim) for factor in (scales, factors[layer], ratio)]
        _require_same(model, weight, reduce(np.multiply, steps, numbers.astype(np.float32)), path, name)
        added += _replace(model, weight, place, steps, path.name)
    nodes = [*added, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    described = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    model.metadata_props.add(key=WEIGHTS_KEY, value=json.dumps(described))


def read_positions(path: Path) -> dict[str, StoredTensor]:
    """Return where the tensors of a safetensors file lie."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")  # the length of the header, and the header
    header: dict[str, Any] = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(NUMBER_TYPES.get(entry["dtype"], 0), entry["shape"], start + first, last - first)
        for name, entry in header.items()
        for first, last in [entry["data_offsets"]]
    }


def layer_factors(network: nn.Module) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name of each layer, and the factors [C] by which folding its normalisation multiplies its channels."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            channels = len(module.weight)
            yield name, np.ones(channels, np.float32)
    for name, module in network.named_modules():
        parts = list(module.children())
        if isinstance(module, nn.Sequential) and len(parts) > 1 and isinstance(parts[1], nn.BatchNorm2d):
            norm = parts[1]
            with torch.no_grad():
                yield f"{name}.0", (norm.weight * torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps)).numpy()


def stored_name(layer: str, stored: dict[str, StoredTensor]) -> str | None:
    """Return the name of the weights of a layer in the file, which may leave out the name of the trunk."""
    names = (f"{layer}.weight", f"{layer.removeprefix('trunk.')}.weight")
    return next((name for name in names if name in stored), None)


def _read(path: Path, name: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return a stored tensor, and the scale of each of its output channels."""
    with safe_open(path, framework="np") as file:
        numbers = file.get_tensor(name)
        scaled = name + SCALE_SUFFIX in file.keys()  # noqa: SIM118  the file is no mapping
        return numbers, file.get_tensor(name + SCALE_SUFFIX) if scaled else np.ones(len(numbers), np.float32)


def _require_same(
    model: onnx.ModelProto, weight: TensorProto, numbers: NDArray[np.float32], path: Path, name: str
) -> None:
    """Check that the numbers [C, ...] are the weights of the model."""
    if weight.data_type == TensorProto.INT8:
        scale_name, _ = _quantisation(model, weight.name)
        numbers = np.rint(numbers / _by_channel(_initializer(model, scale_name), numbers.ndim))
    if not np.array_equal(numpy_helper.to_array(weight), numbers):
        raise ValueError(f"{path}: expected the weights of {weight.name} in the tensor {name}, got others")


def _replace(
    model: onnx.ModelProto, weight: TensorProto, place: StoredTensor, factors: Sequence[NDArray[np.float32]], file: str
) -> list[onnx.NodeProto]:
    """Replace weights by the stored tensor in a model, and return the operators that make the weights of it."""
    name, is_bytes = weight.name, weight.data_type == TensorProto.INT8
    stored, number = f"{name}.stored", f"{name}.number_0"
    model.graph.initializer.remove(weight)
    outside = TensorProto(name=stored, data_type=place.number_type, dims=place.shape)
    outside.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", place.offset), ("length", place.length)):
        outside.external_data.add(key=key, value=str(value))
    model.graph.initializer.append(outside)
    nodes = [helper.make_node("Cast", [stored], [number], to=TensorProto.FLOAT)]
    for place_in_turn, factor in enumerate(factors, start=1):
        if (factor != 1).any():
            scale, scaled = f"{name}.factor_{place_in_turn}", f"{name}.number_{place_in_turn}"
            model.graph.initializer.append(numpy_helper.from_array(factor, scale))
            nodes.append(helper.make_node("Mul", [number, scale], [scaled]))
            number = scaled
    if is_bytes:
        nodes.append(helper.make_node("QuantizeLinear", [number, *_quantisation(model, name)], [name], axis=0))
    else:
        nodes.append(helper.make_node("Identity", [number], [name]))
    return nodes


def _by_channel(factors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Factors [C] in a shape in which they multiply an array [C, ...] with this number of dimensions."""
    return factors.astype(np.float32).reshape(-1, *[1] * (dimensions - 1))


def _quantisation(model: onnx.ModelProto, name: str) -> tuple[str, str]:
    """The names of the scales and zero points of weights; PyTorch's exporter joins tensors that are equal."""
    (node,) = (node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] == name)
    return str(node.input[1]), str(node.input[2])


def _initializer(model: onnx.ModelProto, name: str) -> NDArray[Any]:
    return next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == name)
