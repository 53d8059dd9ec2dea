"""Tests of the reader of Caffe's files, which are written here by the rules of Protocol Buffers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from classifier.training.initial_weights.caffemodel import read_caffemodel
from detection.errors import InputError

WEIGHT = torch.arange(24.0).view(2, 3, 2, 2) / 7
BIAS = torch.tensor([0.5, -300.0])


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: Tensor, *, legacy: bool, packed: bool = True) -> bytes:
    """Return a BlobProto; one of 2014 always has four dimensions, and missing ones are 1 and come first."""
    floats = values.numpy().astype("<f4").tobytes()
    data = message(5, floats) if packed else b"".join(b"\x2d" + floats[at : at + 4] for at in range(0, len(floats), 4))
    if legacy:
        shape = [1] * (4 - values.ndim) + list(values.shape)
        return b"".join(varint(number << 3) + varint(side) for number, side in enumerate(shape, start=1)) + data
    return data + message(7, message(1, b"".join(varint(side) for side in values.shape)))


def layer(name: str, blobs: list[bytes], *, legacy: bool) -> bytes:
    """Return a layer that also has fields to be skipped: a type, and a number of fixed length."""
    kind = varint(5 << 3) + varint(4) if legacy else message(2, b"Convolution")
    fields = message(4 if legacy else 1, name.encode()) + kind + b"\xbd\x01" + bytes(4)
    content = fields + b"".join(message(6 if legacy else 7, content) for content in blobs)
    return message(2 if legacy else 100, content)


def network(*, legacy: bool = False, packed: bool = True) -> bytes:
    blobs = [blob(WEIGHT, legacy=legacy, packed=packed), blob(BIAS, legacy=legacy, packed=packed)]
    return message(1, b"GoogleNet") + layer("data", [], legacy=legacy) + layer("conv1/7x7_s2", blobs, legacy=legacy)


@pytest.fixture(name="path")
def caffemodel_path(tmp_path: Path) -> Path:
    return tmp_path / "small.caffemodel"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_blobs_by_layer(path: Path, legacy: bool, packed: bool) -> None:
    path.write_bytes(network(legacy=legacy, packed=packed))
    blobs = read_caffemodel(path)
    assert list(blobs) == ["conv1/7x7_s2.weight", "conv1/7x7_s2.bias"]
    torch.testing.assert_close(blobs["conv1/7x7_s2.weight"], WEIGHT, atol=0, rtol=0)
    torch.testing.assert_close(blobs["conv1/7x7_s2.bias"], BIAS, atol=0, rtol=0)


def test_linear_layer_of_2014_has_two_dimensions(path: Path) -> None:
    rows = torch.arange(6.0).view(2, 3)
    path.write_bytes(layer("loss3/classifier", [blob(rows, legacy=True)], legacy=True))
    torch.testing.assert_close(read_caffemodel(path)["loss3/classifier.weight"], rows, atol=0, rtol=0)


def test_every_cut_is_noticed(path: Path) -> None:
    """Only a cut between two layers is not, because it leaves a whole file with fewer layers."""
    whole = network()
    first = len(message(1, b"GoogleNet") + layer("data", [], legacy=False))
    for length in range(first + 1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"small\.caffemodel: expected a whole \.caffemodel of \d+ bytes"):
            read_caffemodel(path)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", np.arange(300, dtype=np.uint8).tobytes()])
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"small\.caffemodel: expected a"):
        read_caffemodel(path)


def test_shape_that_does_not_fit(path: Path) -> None:
    wrong = blob(BIAS, legacy=False).replace(message(1, varint(2)), message(1, varint(3)))
    path.write_bytes(layer("conv", [wrong], legacy=False))
    with pytest.raises(InputError, match=r"expected 3 numbers of the blob conv\.weight, got 2"):
        read_caffemodel(path)
