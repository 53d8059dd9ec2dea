"""Conversion of the weights of torchvision's GoogLeNet to those of `classifier.googlenet.GoogLeNet`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from classifier.googlenet import GoogLeNet
from classifier.inception import TABLE_1

INIT_ARGS = {"batch_norm": True, "dropout": 0.2, "torchvision_details": True}
"""Arguments with which our `GoogLeNet` computes the same as torchvision's."""

UNTRAINED = ("aux1.", "aux2.")
"""First parts of the names of the auxiliary heads, which have random values in torchvision's weights."""


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state dict of `torchvision.models.googlenet` to that of `GoogLeNet(num_classes, **INIT_ARGS)`.

    Auxiliary heads are left out. Old files lack the number of batches that a normalisation has seen; it becomes 0.

    Raises:
        ValueError: naming a tensor that is missing, that is unknown, or that has another shape.
    """
    names = _names()
    given = {name: tensor for name, tensor in state.items() if not name.startswith(UNTRAINED)}
    counts = {name: torch.tensor(0) for name in names if name.endswith("num_batches_tracked")}
    tensors = {**counts, **given}
    missing = [name for name in names if name not in tensors]
    left_over = [name for name in tensors if name not in names]
    if missing or left_over:
        problem = f"found no {missing[0]}" if missing else f"cannot place {left_over[0]}"
        raise ValueError(f"expected the {len(names)} tensors of torchvision's googlenet, {problem}")
    expected = GoogLeNet(tensors["fc.bias"].numel(), **INIT_ARGS).state_dict()  # type: ignore[arg-type]
    for name, tensor in tensors.items():
        shape = expected[names[name]].shape
        if tensor.shape != shape:
            raise ValueError(f"{name}: expected shape {list(shape)}, got {list(tensor.shape)}")
    return {ours: tensors[theirs] for theirs, ours in names.items()}


def _names() -> dict[str, str]:
    """Return our name of each tensor of torchvision's network without auxiliary heads."""
    names = {}
    for theirs, ours in _convolutions().items():
        names[f"{theirs}.conv.weight"] = f"{ours}.0.weight"
        for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            names[f"{theirs}.bn.{tensor}"] = f"{ours}.1.{tensor}"
    return {**names, "fc.weight": "linear.weight", "fc.bias": "linear.bias"}


def _convolutions() -> dict[str, str]:
    """Return our name of each convolution, with its normalisation, of torchvision's network."""
    names = {"conv1": "stem.0", "conv2": "stem.3", "conv3": "stem.4"}
    for block in TABLE_1:
        theirs, ours = f"inception{block}", f"blocks.{block}"
        names[f"{theirs}.branch1"] = f"{ours}.branch1x1"
        for layer in (0, 1):
            names[f"{theirs}.branch2.{layer}"] = f"{ours}.branch3x3.{layer}"
            names[f"{theirs}.branch3.{layer}"] = f"{ours}.branch5x5.{layer}"
        names[f"{theirs}.branch4.1"] = f"{ours}.branch_pool.1"
    return names
