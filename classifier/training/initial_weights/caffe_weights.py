"""The GoogLeNet of Caffe's model zoo, which BVLC trained on ImageNet, as a `GoogLeNet` of ours.

`GoogLeNet(1000, caffe_details=True)` computes the same scores as Caffe. It cannot compute in int8, because it has
response normalisation; `batch_norm_start.py` makes a network with batch normalisation from it.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from classifier.googlenet import GoogLeNet
from classifier.inception import TABLE_1
from classifier.training.initial_weights.caffemodel import read_caffemodel
from detection.errors import InputError

CLASSIFIER = "loss3/classifier"
"""Caffe's name of the last layer."""

UNUSED = ("loss1/", "loss2/")
"""First parts of the names of the auxiliary heads, which only helped in training."""


def load_caffe(path: Path) -> GoogLeNet:
    """Return the network in a `.caffemodel`, or in a safetensors file with Caffe's names, in evaluation mode.

    Raises:
        InputError: naming the file, if it is missing, cut short, or holds another network.
    """
    blobs = _read_safetensors(path) if path.suffix == ".safetensors" else read_caffemodel(path)
    try:
        return from_caffe(blobs)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected weights of Caffe's GoogLeNet: {error.strerror}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: expected a safetensors file: {error}") from None


def from_caffe(blobs: Mapping[str, Tensor]) -> GoogLeNet:
    """Return the published network, in evaluation mode.

    Args:
        blobs: the weights [out, in, h, w] and biases [out], by Caffe's name of the layer and ".weight" or ".bias". The
            auxiliary heads are left out.

    Raises:
        ValueError: naming a blob that is missing, that is unknown, or that has another shape.
    """
    names = {
        f"{layer}.{kind}": f"{ours}.{kind}" for layer, ours in layer_names().items() for kind in ("weight", "bias")
    }
    given = {name: blob.float() for name, blob in blobs.items() if not name.startswith(UNUSED)}
    missing = [name for name in names if name not in given]
    left_over = [name for name in given if name not in names]
    if missing or left_over:
        problem = f"found no {missing[0]}" if missing else f"cannot place {left_over[0]}"
        raise ValueError(f"expected the {len(names)} blobs of Caffe's GoogLeNet, {problem}")
    network = GoogLeNet(given[f"{CLASSIFIER}.bias"].numel(), caffe_details=True)
    expected = network.state_dict()
    for name, blob in given.items():
        shape = expected[names[name]].shape
        if blob.shape != shape:
            raise ValueError(f"{name}: expected shape {list(shape)}, got {list(blob.shape)}")
    state = {ours: given[theirs] for theirs, ours in names.items()}
    state["stem.0.0.weight"] = state["stem.0.0.weight"].flip(1)  # Caffe reads images as blue, green, red
    network.load_state_dict(state)
    return network.eval()


def layer_names() -> dict[str, str]:
    """Return our name of each layer of Caffe's network."""
    names = {"conv1/7x7_s2": "stem.0.0", "conv2/3x3_reduce": "stem.3.0", "conv2/3x3": "stem.4.0"}
    for block in TABLE_1:
        theirs, ours = f"inception_{block}", f"blocks.{block}"
        names[f"{theirs}/1x1"] = f"{ours}.branch1x1.0"
        for kernel in ("3x3", "5x5"):
            names[f"{theirs}/{kernel}_reduce"] = f"{ours}.branch{kernel}.0.0"
            names[f"{theirs}/{kernel}"] = f"{ours}.branch{kernel}.1.0"
        names[f"{theirs}/pool_proj"] = f"{ours}.branch_pool.1.0"
    return {**names, CLASSIFIER: "linear"}
