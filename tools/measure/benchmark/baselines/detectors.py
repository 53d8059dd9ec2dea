"""The baselines of `detect-benchmark photos`: plain R-CNN over the same networks, and detectors of torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image
import torch
from torch import nn

from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import load_region_network
from classifier.warp.crop import context_boxes
from detection.detector import Detector
from detection.image import read_image
from detection.runtime.pixels import MEAN_RGB, SCALE
from detection.structures.arrays import FloatArray
from proposals.selective_search import SelectiveSearch
from tools.command.options import evenly_spaced
from tools.measure.benchmark.timing import time_run

TORCHVISION = {
    "resnet50": "fasterrcnn_resnet50_fpn",
    "mobilenet": "fasterrcnn_mobilenet_v3_large_fpn",
}
"""Faster R-CNN by the name of its backbone, at torchvision's own input size of 800 pixels."""

BASELINES = ("plain", *TORCHVISION)

Baseline = Callable[[str], float]
"""Detects in an image file once, and returns the seconds from the file to the detections."""


def build_baseline(name: str, detector: Detector, networks: Sequence[LoadedNetwork], *, sampled: int) -> Baseline:
    """Return one of `BASELINES`, on the device of the networks; the plain loop times `sampled` regions."""
    if name == "plain":
        return PlainLoop(detector, networks, sampled=sampled)
    return faster_rcnn(TORCHVISION[name], tensor_device(networks[0]))


def tensor_device(network: LoadedNetwork) -> torch.device:
    """Return the device of a network for tensors, also if ONNX Runtime computes the network."""
    return torch.device(str(network.device))


class PlainLoop:
    """R-CNN in its simplest form: OpenCV's selective search, then crop by crop, network by network, in float32.

    `sampled` regions are timed, and the time is scaled to all of them.
    """

    def __init__(self, detector: Detector, networks: Sequence[LoadedNetwork], *, sampled: int) -> None:
        searched = detector.propose if isinstance(detector.propose, SelectiveSearch) else SelectiveSearch()
        self.propose = SelectiveSearch(
            searched.scales, searched.width, searched.min_side, engine="opencv", sigma=searched.sigma
        )
        self.sampled = sampled
        self.device = tensor_device(networks[0])
        self.networks = [(load_region_network(network.path)[0].to(self.device), network) for network in networks]

    def __call__(self, path: str) -> float:
        seconds, (image, boxes) = time_run(lambda: (image := read_image(path), self.propose(image).boxes))
        picture = PIL.Image.fromarray(image)
        sample = boxes[evenly_spaced(range(len(boxes)), self.sampled)]
        sample_seconds, _ = time_run(lambda: [self._score(picture, box) for box in sample])
        return seconds + sample_seconds * len(boxes) / len(sample)

    def _score(self, picture: PIL.Image.Image, box: FloatArray) -> FloatArray:
        """Return the mean probabilities [C + 1] of a region."""
        mean: FloatArray = np.mean([self._probabilities(picture, box, *pair) for pair in self.networks], axis=0)
        return mean

    @torch.inference_mode()
    def _probabilities(
        self, picture: PIL.Image.Image, box: FloatArray, network: nn.Module, loaded: LoadedNetwork
    ) -> FloatArray:
        """Return the probabilities [C + 1] of a region by one network."""
        size, context = loaded.input_format.size, loaded.input_format.context
        left, top, right, bottom = context_boxes(torch.from_numpy(box), size=size, context=context).round().tolist()
        crop = picture.crop((left, top, right, bottom)).resize((size, size), PIL.Image.Resampling.BILINEAR)
        centred = np.asarray(crop, np.float32) - np.array(MEAN_RGB, np.float32)
        inputs = torch.from_numpy(centred).permute(2, 0, 1)[None] * SCALE
        outputs = network(inputs.to(self.device))
        probabilities: FloatArray = loaded.probabilities(outputs.logits)[0].cpu().numpy()
        return probabilities


def faster_rcnn(name: str, device: torch.device) -> Baseline:
    """Return a detector of torchvision with random weights, which takes as long as a trained one and finds nothing."""
    from torchvision.models import detection  # noqa: PLC0415  slow to import, and only this baseline needs it

    network = getattr(detection, name)(weights=None, weights_backbone=None).eval().to(device)

    @torch.inference_mode()
    def detect(path: str) -> None:
        inputs = torch.from_numpy(read_image(path)).to(device).permute(2, 0, 1).float() / 255
        network([inputs])[0]["boxes"].cpu()  # this waits for a GPU

    return lambda path: time_run(lambda: detect(path))[0]
