"""Damaged ONNX files of networks."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator

from classifier.region_classifier import RegionClassifier
from tools.export.onnx_writer import open_network, write_onnx
from tools.fuzz.inputs.detector_files import WEIGHTS, write_tiny_weights
from tools.fuzz.inputs.mutations.byte_changes import EDGES, change_bytes, pick
from tools.fuzz.inputs.mutations.text_changes import change_text
from tools.fuzz.inputs.mutations.tree_changes import change_tree

PATHS = ("../tiny.safetensors", "/etc/passwd", "/dev/zero", "missing", "", ".", "tiny.safetensors")
"""Names of files that weights may not come from, and one that they may."""


class OnnxFiles:
    """Damaged ONNX files: one that has its weights, and one that reads them from the file beside it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "network.onnx"
        weights = folder / WEIGHTS
        write_tiny_weights(weights)
        self.models = []
        for beside in (None, weights):
            network = open_network(weights, precision="float32", input_size=None)
            write_onnx(self.path, network, made_by="the fuzzer", weights=beside)
            self.models.append(onnx.load(self.path, load_external_data=False))
        self.image = np.full((40, 40, 3), 90, np.uint8)
        self.boxes = np.array([[2, 3, 20, 30]], np.float32)

    def write(self, random: Generator) -> None:
        """Write a file after changes of its metadata, its graph, its weights or its bytes."""
        model = copy.deepcopy(pick(self.models, random))
        kind = random.random()
        if kind < 0.35:
            _change_metadata(model, random)
        elif kind < 0.8:
            for _ in range(random.integers(1, 4)):
                pick((_change_node, _change_weights), random)(model.graph, random)
        content = model.SerializeToString()
        self.path.write_bytes(change_bytes(content, random) if kind > 0.7 else content)

    def read(self) -> None:
        """Load the network, and score a region."""
        RegionClassifier(str(self.path), device="cpu")([self.image], [self.boxes])


def _change_metadata(model: Any, random: Generator) -> None:
    entry = pick(model.metadata_props, random)
    try:
        value = json.dumps(change_tree(json.loads(entry.value), random))
    except ValueError:  # a plain text
        value = entry.value
    if random.random() < 0.3:
        value = change_text(value, random).decode("utf-8", "replace")
    entry.value = value.encode("utf-8", "replace").decode()


def _change_node(graph: Any, random: Generator) -> None:
    node = pick(graph.node, random)
    names = [name for other in graph.node for name in other.output]
    match random.integers(4):
        case 0 if node.input:
            node.input[int(random.integers(len(node.input)))] = pick(names, random)
        case 1:
            node.op_type = pick(graph.node, random).op_type
        case 2 if node.attribute:
            attribute = pick(node.attribute, random)
            attribute.i = pick(EDGES[:20], random)
            attribute.ints[:] = [pick(EDGES[:20], random) for _ in attribute.ints]
        case _:
            graph.node.remove(node)


def _change_weights(graph: Any, random: Generator) -> None:
    tensor = pick(graph.initializer, random)
    match random.integers(6):
        case 0:
            tensor.dims[:] = [pick((*EDGES[:20], -1), random) for _ in range(random.integers(5))]
        case 1:
            tensor.data_type = int(random.integers(25))
        case 2 if tensor.external_data:
            entry = pick(tensor.external_data, random)
            entry.value = pick(PATHS, random) if entry.key == "location" else str(pick((*EDGES, -1), random))
        case 3:
            tensor.raw_data = tensor.raw_data[: int(random.integers(len(tensor.raw_data) + 1))]
        case _:  # other weights, which may be infinite or no numbers
            values = bytearray(tensor.raw_data)
            for place in random.integers(len(values), size=4) if values else ():
                values[place] = pick((0, 127, 128, 255), random)
            tensor.raw_data = bytes(values)
