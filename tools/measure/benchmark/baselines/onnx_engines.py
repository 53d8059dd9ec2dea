"""Engines that compute ONNX files, for `detect-benchmark scoring`: ONNX Runtime, as in detection, and OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from classifier.ensemble import Ensemble
from classifier.scoring.loaded_network import LoadedNetwork
from detection.errors import InputError
from detection.structures.arrays import FloatArray
from tools.export.onnx_writer import OnnxPrecision, open_network, write_onnx

ONNX_ENGINES = ("onnxruntime", "openvino")


def export_networks(files: Sequence[str], precision: str | None) -> list[str]:
    """Write an ONNX file for each weights file, unless it is there, and return the paths of the ONNX files.

    They have other names than the weights files, so that they do not take their place where PyTorch is to compute.

    Args:
        files: weights files of region classifiers.
        precision: "float32" or "int8"; None is int8 if the networks can compute in it.

    Raises:
        InputError: if the networks cannot be written in this precision.
    """
    if precision not in (None, "float32", "int8"):
        raise InputError(f"precision {precision}: expected float32 or int8 for an engine of ONNX files")
    targets = [Path(file).with_name(f"{Path(file).stem}_exported.onnx") for file in files]
    for file, target in zip(files, targets, strict=True):
        if not target.is_file():
            network = open_network(Path(file), precision=cast(OnnxPrecision | None, precision), input_size=None)
            write_onnx(target, network, made_by="detect-benchmark scoring")
    return [str(target) for target in targets]


def load_onnx_networks(engine: str, files: list[str], **settings: Any) -> list[LoadedNetwork]:
    """Return the networks of ONNX files, which one of `ONNX_ENGINES` computes; the settings are those of `Ensemble`.

    Raises:
        InputError: if the engine is not installed.
    """
    networks = Ensemble(files, **settings).networks
    if engine == "openvino":
        for network in networks:
            network.network.network = OpenVinoNetwork(network.path, threads=torch.get_num_threads())
    return networks


class OpenVinoNetwork:
    """Takes the place of an `OnnxNetwork`: OpenVINO computes the file on the CPU.

    Several batches can be computed at once, with one thread each, as detection does it (`map_on_cores`).

    Args:
        path: the ONNX file.
        threads: the number of batches that are computed at once.

    Raises:
        InputError: if OpenVINO is not installed.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        if find_spec("openvino") is None:
            raise InputError("openvino: expected the package; pip install 'inception-rcnn[openvino]'")
        import openvino  # noqa: PLC0415  optional

        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # where it is not int8; some processors would use bfloat16
        }
        self._network = openvino.Core().compile_model(str(path), "CPU", settings)
        self._own = threading.local()  # because a request can compute one batch at a time

    def run(self, images: NDArray[Any], *, threads: int) -> list[FloatArray]:  # noqa: ARG002  fixed before
        """Return the outputs of the network for images [B, 3, S, S]."""
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        results = self._own.request.infer({0: np.ascontiguousarray(images)})
        return [np.array(results[output], np.float32) for output in self._network.outputs]
