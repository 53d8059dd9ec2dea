"""Writes the network of a weights file as an ONNX file: a region classifier, or MultiBox."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from classifier.region_network import RegionNetwork
from classifier.scoring.description import METADATA_KEY as CLASSIFIER_KEY
from classifier.scoring.tensor_network import find_quantisation
from classifier.scoring.weights_file import load_region_network
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.device import to_device
from detection.runtime.weights_files.onnx_file import INPUT_KEY, INPUT_NAME, OnnxInput
from detection.runtime.weights_files.tensor_file import metadata_keys
from proposals.multibox.description import METADATA_KEY as MULTIBOX_KEY
from proposals.multibox.network import MultiBox
from proposals.multibox.weights_file import load_multibox
from tools.export.byte_layers import OnnxConvolution, replace_byte_layers

OnnxPrecision = Literal["float32", "int8"]

EXAMPLES = 2
"""The number of images with which PyTorch follows a network; the file then takes any number of images."""


class Exportable(NamedTuple):
    """A network that is ready to be written.

    Attributes:
        network: computes the outputs from images [B, 3, S, S].
        outputs: the names of the outputs.
        side: the side S of the images, in pixels.
        onnx_input: the number formats in which it computes and reads images.
        key: the name of the description in the metadata.
        description: the description of the network.
    """

    network: nn.Module
    outputs: Sequence[str]
    side: int
    onnx_input: OnnxInput
    key: str
    description: dict[str, Any]


class ProposingMultiBox(nn.Module):
    """MultiBox with the decoding of its boxes: images [B, 3, S, S] -> boxes [B, K, 4] and confidences [B, K]."""

    def __init__(self, network: MultiBox) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.propose(images)


def open_network(path: Path, *, precision: OnnxPrecision | None, input_size: int | None) -> Exportable:
    """Return the network of a weights file.

    Args:
        path: a safetensors file of a region classifier or of MultiBox.
        precision: the number type of the convolutions; None is int8 if the network can compute in it.
        input_size: the side of the images of MultiBox; None is that of its description.

    Raises:
        InputError: naming the file, if it cannot be used, or the network cannot compute in int8 as asked for.
    """
    if MULTIBOX_KEY in metadata_keys(path):
        multibox, fields = load_multibox(path)
        onnx_input = OnnxInput(_prepare(multibox, precision, path))
        side, outputs = input_size or fields.input_size, ("boxes", "confidences")
        return Exportable(ProposingMultiBox(multibox), outputs, side, onnx_input, MULTIBOX_KEY, asdict(fields))
    network, description = load_region_network(path)
    chosen = _prepare(network, precision, path)
    return Exportable(
        network,
        ("logits", "deltas") if description.box_regression else ("logits",),
        description.input_size,
        OnnxInput(chosen, find_quantisation(network)),
        CLASSIFIER_KEY,
        asdict(description),
    )


def _prepare(network: RegionNetwork | MultiBox, precision: OnnxPrecision | None, path: Path) -> OnnxPrecision:
    """Change a network in place so that it computes in a precision, which is returned."""
    if precision == "int8" and not network.can_quantise:
        raise InputError(f"{path}: precision int8 needs a network with batch normalisation throughout")
    chosen = precision or ("int8" if network.can_quantise else "float32")
    to_device(network, torch.device("cpu"), chosen)
    return chosen


def write_onnx(path: Path, exportable: Exportable, *, made_by: str, weights: Path | None = None) -> None:
    """Write a network as an ONNX file, atomically.

    Args:
        path: the ONNX file.
        exportable: the network.
        made_by: the name of the program that writes it.
        weights: the safetensors file of the network, in the same folder, from which the ONNX file will read its
            weights; None for a file that holds them.

    Raises:
        InputError: naming the file, if it cannot be written; an earlier file of that name is kept.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass  # noqa: PLC0415  optional

    network, outputs, side, onnx_input, key, description = exportable
    replace_byte_layers(network)
    number_type = torch.float32 if onnx_input.quantisation is None else torch.uint8
    with quiet_exporter():
        program = torch.onnx.export(
            network,
            (torch.zeros(EXAMPLES, 3, side, side, dtype=number_type),),
            input_names=[INPUT_NAME],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TypeError("expected a program of PyTorch's exporter, got None")
    model = program.model
    ClearMetadataAndDocStringPass()(model)  # which name the folders of this machine
    model.producer_name = made_by
    model.metadata_props.update({key: json.dumps(description), INPUT_KEY: json.dumps(asdict(onnx_input))})
    proto = program.model_proto
    if weights is not None:
        from tools.export.shared_weights import share_weights  # noqa: PLC0415  imports the optional package onnx

        loaded, prefix = _load(weights), "network." if isinstance(network, ProposingMultiBox) else ""
        modules = network.named_modules()
        ratios = {f"{name}.weight": module.ratio for name, module in modules if isinstance(module, OnnxConvolution)}
        share_weights(proto, loaded, weights, prefix=prefix, ratios=ratios)
    write_atomically(path, proto.SerializeToString())


def _load(path: Path) -> RegionNetwork | MultiBox:
    """Return the network of a weights file as it is stored."""
    if MULTIBOX_KEY in metadata_keys(path):
        return load_multibox(path)[0]
    return load_region_network(path)[0]


def require_exporter(output: Path) -> None:
    """Check that the packages with which `output` is written are installed.

    Raises:
        InputError: naming the file and the packages that are missing.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise InputError(f"{output}: expected {names} to write it with; pip install 'inception-rcnn[onnx]'")


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Hide the warnings of PyTorch's exporter, which are about its own code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
