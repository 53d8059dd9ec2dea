"""Scores regions of images with a network: warp, normalise, then softmax or SVMs, and box regression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from classifier.box_coder import decode_boxes
from classifier.region_network import RegionOutputs
from classifier.warp import warp_regions
from classifier.weights_file import find_weights, load_region_network
from detection.arrays import FloatArray, Image
from detection.contracts import RegionScores
from detection.device import Precision, find_device, find_precision
from detection.errors import InputError
from detection.folding import fold_batch_norm
from detection.pixels import normalise

MAX_PIXELS = 32_000_000
"""Larger images are shrunk before regions are cut out, which takes 36 bytes a pixel."""

REGION_BYTES = 1 << 28
"""Bounds the memory of warped regions: 5,461 of them at 64 pixels, 434 at 227."""


class RegionClassifier:
    """A network of a weights file on a device: `(images, boxes) -> RegionScores`.

    Args:
        weights: a safetensors file written by `tools.train_classifier export`; a bare name is one of the shipped files.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default bfloat16 on a GPU and float32 elsewhere.
        batch_size: regions that pass through the network at once.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `batch_size` is not positive.
    """

    def __init__(
        self,
        weights: str,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        path = find_weights(weights)
        network, self.description = load_region_network(path)
        if not self.description.background:
            raise InputError(f"{path}: expected a network that was trained on regions, got one for whole images only")
        self.batch_size = batch_size
        self.device = find_device(device)
        self.dtype = find_precision(precision, self.device)
        self.network = fold_batch_norm(network).to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Scores of regions `boxes[i]` [N, 4] of each `images[i]` [H, W, 3], maybe with refined boxes."""
        if not images:
            return []
        outputs = self._outputs_of_chunks(images, boxes).split([len(of_image) for of_image in boxes])
        return [
            self.to_scores(of_image, part, image.shape[:2])
            for image, of_image, part in zip(images, boxes, outputs, strict=True)
        ]

    def _outputs_of_chunks(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> RegionOutputs:
        """What the network says of all regions, of which no more than `REGION_BYTES` are warped ahead of it."""
        at_once = max(self.batch_size, REGION_BYTES // (12 * self.description.input_size**2))
        found, waiting = [], torch.empty(0, device=self.device)
        for image, of_image in zip(images, boxes, strict=True):
            for start in range(0, len(of_image), at_once):
                warped = self.warp(image, of_image[start : start + at_once])
                waiting = torch.cat([waiting, warped]) if len(waiting) else warped
                full = len(waiting) // self.batch_size * self.batch_size
                if full:
                    found.append(self.outputs(waiting[:full]))
                    waiting = waiting[full:]
        if len(waiting) or not found:
            size = self.description.input_size
            found.append(self.outputs(waiting.view(-1, 3, size, size)))
        refines = self.description.box_regression
        deltas = torch.cat([outputs.deltas for outputs in found if outputs.deltas is not None]) if refines else None
        return RegionOutputs(torch.cat([outputs.logits for outputs in found]), deltas)

    def warp(self, image: Image, boxes: FloatArray) -> Tensor:
        """Input of the network for each region: [N, 3, S, S]."""
        image, boxes = shrink_to(MAX_PIXELS, image, boxes)
        pixels = torch.from_numpy(image).to(self.device)
        size, context = self.description.input_size, self.description.context
        return warp_regions(pixels[None], torch.from_numpy(boxes)[None], size=size, context=context)[0]

    @torch.inference_mode()
    def outputs(self, regions: Tensor) -> RegionOutputs:
        """What the network says of warped regions [N, 3, S, S], batch by batch, in float32."""
        batches = [self.network(self._inputs(batch)) for batch in regions.split(self.batch_size)]
        logits = torch.cat([batch.logits for batch in batches]).float()
        refines = self.description.box_regression
        return RegionOutputs(logits, torch.cat([batch.deltas for batch in batches]).float() if refines else None)

    @torch.inference_mode()
    def features(self, regions: Tensor) -> Tensor:
        """What the heads read of warped regions [N, 3, S, S]: float32 [N, F]."""
        batches = [self.network.features(self._inputs(batch)) for batch in regions.split(self.batch_size)]
        return torch.cat(batches).float()

    def to_scores(self, boxes: FloatArray, outputs: RegionOutputs, size: tuple[int, int]) -> RegionScores:
        """The scores of regions [N, 4] of one image of `size` (height, width), given what the network says of them."""
        to_probabilities = svm_probabilities if self.description.head == "svm" else softmax_probabilities
        probabilities = to_probabilities(outputs.logits).cpu().numpy()
        if outputs.deltas is None:
            return RegionScores(probabilities)
        # Deltas are shares of a region's sides, so they fit the boxes of an image that was shrunk just as well.
        refined = decode_boxes(torch.from_numpy(boxes).to(self.device), outputs.deltas, size)
        return RegionScores(probabilities, refined.cpu().numpy())

    def _inputs(self, regions: Tensor) -> Tensor:
        return normalise(regions).to(self.dtype).contiguous(memory_format=torch.channels_last)


def softmax_probabilities(logits: Tensor) -> Tensor:
    """[N, C + 1] -> [N, C + 1], column 0 is background."""
    return logits.softmax(dim=1)


def svm_probabilities(margins: Tensor) -> Tensor:
    """Scores of SVMs within 0-1: [N, C] -> [N, C + 1].

    The logistic function keeps the order of R-CNN's margins, within a class and between classes, so suppression and
    ranking are R-CNN's; 0.5 is the decision of the SVM. It is no calibrated probability. Column 0, background, is what
    the best class leaves of 1.
    """
    foreground = margins.sigmoid()
    return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)


def shrink_to(max_pixels: int, image: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
    """A larger image brought down to about `max_pixels` by area means, with its boxes [N, 4]; others as they are."""
    height, width = image.shape[:2]
    if height * width <= max_pixels:
        return image, boxes
    factor = math.sqrt(max_pixels / (height * width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    smaller = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([size[0] / width, size[1] / height] * 2)
    return smaller, (boxes * scale).astype(np.float32)
