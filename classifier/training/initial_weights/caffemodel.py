"""Reader of `.caffemodel` files, in which Caffe stores the trained layers of a network.

Such a file is a message of Protocol Buffers. Only the names of the layers and their weights are read, by the field
numbers of `caffe.proto` (NetParameter, LayerParameter, BlobProto, and V1LayerParameter in files of 2014). Neither Caffe
nor Protocol Buffers has to be installed.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detection.errors import InputError

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
"""Wire types of Protocol Buffers: they say how the value of a field is written."""

BLOB_KINDS = ("weight", "bias")
"""The contents of the first and the second blob of a layer."""


class LayerFields(NamedTuple):
    """The numbers of the fields that hold the name and the blobs of a layer."""

    name: int
    blobs: int


LAYERS = {100: LayerFields(name=1, blobs=7), 2: LayerFields(name=4, blobs=6)}
"""The fields of NetParameter that hold layers: `layer`, and `layers` in files of 2014."""

LEGACY_SHAPE = (1, 2, 3, 4)
"""Fields of a blob of 2014: number, channels, height and width. Missing dimensions are 1 and come first."""

DATA, SHAPE, DIMENSION = 5, 7, 1

Value = int | memoryview


def read_caffemodel(path: Path) -> dict[str, Tensor]:
    """Return the weights of each layer in float32, by the name of the layer and ".weight" or ".bias".

    Raises:
        InputError: naming the file, if it is missing, cut short, or no `.caffemodel`.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected a .caffemodel: {error.strerror}") from None
    try:
        blobs = dict(_read_layers(content))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: expected a whole .caffemodel of {len(content)} bytes: {error}") from None
    if not blobs:
        raise InputError(f"{path}: expected a .caffemodel, found no layer with weights")
    return blobs


def _read_layers(content: memoryview) -> Iterator[tuple[str, Tensor]]:
    for number, layer in _fields(content):
        if number not in LAYERS or isinstance(layer, int):
            continue
        known, values = LAYERS[number], list(_fields(layer))
        name = "".join(_as_text(value) for field, value in values if field == known.name)
        blobs = [value for field, value in values if field == known.blobs and not isinstance(value, int)]
        for kind, blob in zip(BLOB_KINDS, blobs, strict=False):
            yield f"{name}.{kind}", _read_blob(blob, f"{name}.{kind}")


def _as_text(value: Value) -> str:
    if isinstance(value, int):
        raise ValueError(f"expected the name of a layer, got {value}")
    return bytes(value).decode()


def _read_blob(content: memoryview, name: str) -> Tensor:
    """Return a blob in its shape; a blob of 2014 loses the leading dimensions of size 1 that Caffe added."""
    parts: list[memoryview] = []
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    for number, value in _fields(content):
        if number == DATA and not isinstance(value, int):
            parts.append(value)  # all numbers at once, or a single number
        elif number in LEGACY_SHAPE and isinstance(value, int):
            legacy[number] = value
        elif number == SHAPE and not isinstance(value, int):
            shape = _read_dimensions(value)
    if shape is None:
        shape = [legacy.get(number, 1) for number in LEGACY_SHAPE]
        while len(shape) > 1 and shape[0] == 1:
            shape.pop(0)
    numbers = np.frombuffer(b"".join(parts), "<f4")
    if len(numbers) != math.prod(shape):
        raise ValueError(f"expected {math.prod(shape)} numbers of the blob {name}, got {len(numbers)}")
    return torch.from_numpy(numbers.astype(np.float32)).reshape(shape)


def _read_dimensions(content: memoryview) -> list[int]:
    """Return the dimensions of a BlobShape, which are written in one field each or all in one field."""
    dimensions: list[int] = []
    for number, value in _fields(content):
        if number != DIMENSION:
            continue
        if isinstance(value, int):
            dimensions.append(value)
            continue
        place = 0
        while place < len(value):
            dimension, place = _read_varint(value, place)
            dimensions.append(dimension)
    return dimensions


def _fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field of a message; numbers of a fixed length are given as their bytes.

    Raises:
        ValueError: if a field is longer than the rest of the message, or has an unknown wire type.
    """
    place = 0
    while place < len(content):
        key, place = _read_varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _read_varint(content, place)
            yield number, value
            continue
        if kind == BYTES:
            length, place = _read_varint(content, place)
        elif kind in (FIXED_32, FIXED_64):
            length = 4 if kind == FIXED_32 else 8
        else:
            raise ValueError(f"expected a field of a message, got wire type {kind} at byte {place}")
        if length > len(content) - place:
            raise ValueError(f"expected {length} bytes of field {number}, got {len(content) - place}")
        yield number, content[place : place + length]
        place += length


def _read_varint(content: memoryview, place: int) -> tuple[int, int]:
    """Read a number that begins at byte `place`, with seven bits in each byte and the lowest bits first.

    Returns:
        The number, and the place after it.
    """
    number = shift = 0
    while True:
        if place >= len(content) or shift > 63:
            raise ValueError("expected the end of a number")
        byte = content[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
