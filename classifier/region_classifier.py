"""Scores regions of images with a network: warp, normalise, softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from classifier.folding import fold_batch_norm
from classifier.warp import normalise, warp_regions
from classifier.weights_file import SHIPPED, load_weights
from detection.arrays import FloatArray, Image
from detection.contracts import RegionScores
from detection.errors import InputError

MAX_PIXELS = 32_000_000
"""Larger images are shrunk before regions are cut out, which takes 36 bytes a pixel."""

Precision = Literal["float32", "bfloat16"]


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
        path = SHIPPED / weights if Path(weights).name == weights else Path(weights)
        network, self.description = load_weights(path)
        if not self.description.background:
            raise InputError(f"{path}: expected a network that was trained on regions, got one for whole images only")
        self.device = find_device(device)
        default: Precision = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = getattr(torch, precision or default)
        self.batch_size = batch_size
        self.network = fold_batch_norm(network).to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Class probabilities of the regions `boxes[i]` [N, 4] of each `images[i]` [H, W, 3]."""
        if not images:
            return []
        regions = [self.warp(image, of_image) for image, of_image in zip(images, boxes, strict=True)]
        probabilities = self.score(torch.cat(regions)).cpu()
        counts = [len(of_image) for of_image in boxes]
        return [RegionScores(part.numpy()) for part in probabilities.split(counts)]

    def warp(self, image: Image, boxes: FloatArray) -> Tensor:
        """Input of the network for each region: [N, 3, S, S]."""
        image, boxes = shrink_to(MAX_PIXELS, image, boxes)
        pixels = torch.from_numpy(image).to(self.device)
        size, context = self.description.input_size, self.description.context
        return warp_regions(pixels[None], torch.from_numpy(boxes)[None], size=size, context=context)[0]

    @torch.inference_mode()
    def score(self, regions: Tensor) -> Tensor:
        """Probabilities float32 [N, C + 1] of warped regions [N, 3, S, S], batch by batch."""
        return torch.cat([self._score_batch(batch) for batch in regions.split(self.batch_size)])

    def _score_batch(self, regions: Tensor) -> Tensor:
        inputs = normalise(regions).to(self.dtype).contiguous(memory_format=torch.channels_last)
        probabilities: Tensor = self.network(inputs).float().softmax(dim=1)
        return probabilities


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


def find_device(name: str | None) -> torch.device:
    """The named device, or the best there is.

    Raises:
        InputError: if the name is unknown, the device is not there, or is of a kind that was never tried.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = "expected cpu, or cuda where there is a GPU"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise InputError(f"device {name}: {expected}")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name}: {expected}: {str(error).splitlines()[0]}") from None
    return device
