"""What a detector is measured against: a plain R-CNN loop over the same networks, and torchvision's detectors."""

from __future__ import annotations

import time
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
from detection.structures.arrays import FloatArray, Image
from proposals.selective_search import SelectiveSearch
from tools.command.options import evenly_spaced

TORCHVISION = {
    "resnet50": "fasterrcnn_resnet50_fpn",
    "mobilenet": "fasterrcnn_mobilenet_v3_large_fpn",
}
"""Faster R-CNN by the name of its backbone, at torchvision's own input size of 800 pixels."""

BASELINES = ("plain", *TORCHVISION)

Baseline = Callable[[str], float]
"""Seconds from a file to detections, at one run."""


def build_baseline(name: str, detector: Detector, networks: Sequence[LoadedNetwork], *, sampled: int) -> Baseline:
    """One of `BASELINES`, on the device of the networks; the plain loop times `sampled` regions."""
    if name == "plain":
        return PlainLoop(detector, networks, sampled=sampled)
    return FasterRCNN(TORCHVISION[name], networks[0].device)


class PlainLoop:
    """R-CNN as it is first written down: OpenCV's selective search, then crop by crop, network by network, in float32.

    A bounded number of the regions is timed, and the time scaled to all of them.
    """

    def __init__(self, detector: Detector, networks: Sequence[LoadedNetwork], *, sampled: int) -> None:
        searched = detector.propose if isinstance(detector.propose, SelectiveSearch) else SelectiveSearch()
        self.propose = SelectiveSearch(
            searched.scales, searched.width, searched.min_side, engine="opencv", sigma=searched.sigma
        )
        self.sampled = sampled
        self.networks = [(load_region_network(network.path)[0].to(network.device), network) for network in networks]

    def __call__(self, path: str) -> float:
        start = time.perf_counter()
        image = read_image(path)
        boxes = self.propose(image).boxes
        before = time.perf_counter() - start
        picture = PIL.Image.fromarray(image)
        sample = boxes[evenly_spaced(range(len(boxes)), self.sampled)]
        start = time.perf_counter()
        for box in sample:
            np.mean([self._probabilities(picture, box, *pair) for pair in self.networks], axis=0)
        return before + (time.perf_counter() - start) * len(boxes) / len(sample)

    @torch.inference_mode()
    def _probabilities(
        self, picture: PIL.Image.Image, box: FloatArray, network: nn.Module, loaded: LoadedNetwork
    ) -> FloatArray:
        """Of one region: [C + 1]."""
        size, context = loaded.crop
        left, top, right, bottom = context_boxes(torch.from_numpy(box), size=size, context=context).round().tolist()
        crop = picture.crop((left, top, right, bottom)).resize((size, size), PIL.Image.Resampling.BILINEAR)
        centred = np.asarray(crop, np.float32) - np.array(MEAN_RGB, np.float32)
        inputs = torch.from_numpy(centred).permute(2, 0, 1)[None] * SCALE
        outputs = network(inputs.to(loaded.device))
        probabilities: FloatArray = loaded.probabilities(outputs.logits)[0].cpu().numpy()
        return probabilities


class FasterRCNN:
    """A detector of torchvision with random weights: they find nothing, but cost what trained ones do."""

    def __init__(self, name: str, device: torch.device) -> None:
        from torchvision.models import detection  # noqa: PLC0415  slow to import, and only this baseline needs it

        self.device = device
        self.network = getattr(detection, name)(weights=None, weights_backbone=None).eval().to(device)

    @torch.inference_mode()
    def __call__(self, path: str) -> float:
        start = time.perf_counter()
        image: Image = read_image(path)
        inputs = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255
        found = self.network([inputs])[0]
        found["boxes"].cpu()  # which waits for a GPU
        return time.perf_counter() - start
