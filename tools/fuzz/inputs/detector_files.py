"""Damaged configurations and weights files of detectors."""

import json
import struct
from pathlib import Path
from typing import Any

import torch
import yaml
from numpy.random import Generator

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_region_network, save_weights
from detection.configuration import load_detector
from tools.fuzz.inputs.mutations.byte_changes import change_bytes, pick
from tools.fuzz.inputs.mutations.text_changes import change_text
from tools.fuzz.inputs.mutations.tree_changes import change_tree

WEIGHTS = "tiny.safetensors"

FOREIGN = ("os.system", "subprocess.Popen", "builtins.exec", "pathlib.Path.touch", "shutil.rmtree", "this",
           "detection.detector.Detector", "classifier.googlenet.GoogLeNet", "proposals.merge", "tools.report.page",
           "detection.calibration.BetaCalibration", "unknown.Class", "", ".", "a", "os")  # fmt: skip
"""Import paths of code that no configuration may run, and of classes in the wrong place."""


def write_tiny_weights(path: Path, random_seed: int = 0) -> None:
    """Write a weights file of a small random network of three classes."""
    arguments = {"batch_norm": True, "stem_stride": 4, "width_multiplier": 0.125}
    description = NetworkDescription("classifier.googlenet.GoogLeNet", arguments, ("cat", "cup", "rocket"), 32, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        save_weights(path, description.build(), description)


class Configurations:
    """Damaged YAML files of detectors; what they name is built."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "detector.yaml"
        write_tiny_weights(folder / WEIGHTS)
        region_classifier = "classifier.region_classifier.RegionClassifier"
        self.settings: dict[str, Any] = {
            "propose": {
                "class_path": "proposals.merge.MergedProposer",
                "init_args": {
                    "proposers": [
                        {"class_path": "proposals.selective_search.SelectiveSearch", "init_args": {"width": 128}},
                        {"class_path": "proposals.whole_image.WholeImage"},
                    ]
                },
            },
            "classify": {"class_path": region_classifier, "init_args": {"weights": WEIGHTS, "device": "cpu"}},
            "calibrate": {
                "class_path": "detection.calibration.BetaCalibration",
                "init_args": {"a": 1.0, "b": 1.0, "offset": 0.0, "area": 0.1},
            },
            "score_threshold": 0.1,
            "nms_iou_threshold": 0.3,
            "max_detections": 20,
        }

    def write(self, random: Generator) -> None:
        """Write the file after changes of its values, its text or the classes that it names."""
        settings = self.settings
        if random.random() < 0.7:
            settings = change_tree(settings, random)
        text = yaml.safe_dump(settings, allow_unicode=True)
        if random.random() < 0.2:
            text = text.replace(
                pick([part for part in text.split() if "." in part] or ["a"], random), pick(FOREIGN, random)
            )
        self.path.write_bytes(change_text(text, random) if random.random() < 0.4 else text.encode("utf-8", "replace"))

    def read(self) -> None:
        """Build the detector."""
        load_detector(self.path)


class WeightsFiles:
    """Damaged safetensors files of networks: their header, their description and their tensors."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / WEIGHTS
        write_tiny_weights(self.path)
        content = self.path.read_bytes()
        (length,) = struct.unpack_from("<Q", content)
        self.header = json.loads(content[8 : 8 + length])
        self.tensors = content[8 + length :]

    def write(self, random: Generator) -> None:
        """Write the file after changes of its header, of the description in it, or of its bytes."""
        header = dict(self.header)
        kind = random.random()
        if kind < 0.5:
            description = json.loads(header["__metadata__"]["region_classifier"])
            header["__metadata__"] = {"region_classifier": json.dumps(change_tree(description, random))}
        elif kind < 0.8:
            header = change_tree(header, random)
        text = json.dumps(header).encode()
        content = struct.pack("<Q", len(text)) + text + self.tensors
        self.path.write_bytes(change_bytes(content, random) if kind > 0.7 else content)

    def read(self) -> None:
        """Load the network."""
        load_region_network(self.path)
