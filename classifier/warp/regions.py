"""Regions of images on their way to the networks: each image is copied to the device once, regions come in groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from classifier.scoring.loaded_network import Crop
from classifier.warp import warp_regions
from classifier.warp.crop import warp_to_bytes
from detection.runtime.int8 import QuantisedInput
from detection.runtime.pixels import SCALE
from detection.structures.arrays import BoolArray, FloatArray, Image

MAX_PIXELS = 32_000_000
"""Larger images are shrunk before regions are cut out, which takes 36 bytes a pixel."""


class Views(NamedTuple):
    """How a region is looked at; what a network says of it is the mean over all views.

    `mirror`: its mirror image too. `scales`: windows about it whose sides are so many times its own; each one refines
    itself, as if it were the region.
    """

    mirror: bool = False
    scales: tuple[float, ...] = (1.0,)


def find_views(*, mirror: bool, scales: Sequence[float]) -> Views:
    """The views that a user asks for.

    Raises:
        ValueError: if there are no scales, or one is not positive.
    """
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales must be positive numbers, at least one, got {list(scales)}")
    return Views(mirror, tuple(scales))


@dataclass(frozen=True, eq=False)
class ImageRegions:
    """N regions of one image, whose pixels are on the device.

    `pixels` uint8 [H, W, 3] may have been shrunk, and `windows` [N, 4] are the regions in them; `boxes` [N, 4] are the
    regions in the image itself, of `size` (height, width).
    """

    pixels: Tensor
    windows: FloatArray
    boxes: FloatArray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | BoolArray) -> ImageRegions:
        return replace(self, windows=self.windows[rows], boxes=self.boxes[rows])

    def scaled(self, factor: float) -> ImageRegions:
        """Regions about the same centres whose sides are so many times as long, beyond the image too."""
        return replace(self, windows=scale_boxes(self.windows, factor), boxes=scale_boxes(self.boxes, factor))

    def warp(self, crop: Crop) -> Tensor:
        """Input of a network for each region: [N, 3, S, S]."""
        windows = torch.from_numpy(self.windows)
        return warp_regions(self.pixels[None], windows[None], size=crop.size, context=crop.context)[0]

    def warp_to_bytes(self, crop: Crop, read: QuantisedInput) -> Tensor:
        """The same in the bytes of a network whose first step is `read`, which reads scaled pixels."""
        return warp_to_bytes(
            self.pixels,
            torch.from_numpy(self.windows),
            size=crop.size,
            context=crop.context,
            scale=read.scale / SCALE,
            zero=read.zero,
        )


def scale_boxes(boxes: FloatArray, factor: float) -> FloatArray:
    """Boxes [N, 4] about the same centres, with sides `factor` times as long; the same digits for 1."""
    if factor == 1:
        return boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.float32(factor)
    scaled: FloatArray = np.concatenate([centres - halves, centres + halves], axis=1)
    return scaled


def upload(image: Image, boxes: FloatArray, device: torch.device) -> ImageRegions:
    """Regions [N, 4] of an image [H, W, 3], which is copied to the device."""
    smaller, windows = shrink_to(MAX_PIXELS, image, boxes)
    return ImageRegions(torch.from_numpy(smaller).to(device), windows, boxes, (image.shape[0], image.shape[1]))


def in_groups(
    images: Sequence[Image], boxes: Sequence[FloatArray], device: torch.device, *, at_once: int
) -> Iterator[list[tuple[int, ImageRegions]]]:
    """The regions `boxes[i]` of all images in their order, `at_once` of them in each group but the last.

    A group is made of parts, each of one image, whose index comes with it. An image without regions is an empty part.
    """
    group: list[tuple[int, ImageRegions]] = []
    room = at_once
    for index, (image, of_image) in enumerate(zip(images, boxes, strict=True)):
        rest = upload(image, of_image, device)
        while len(rest) > room:
            yield [*group, (index, rest[:room])]
            rest, group, room = rest[room:], [], at_once
        group.append((index, rest))
        room -= len(rest)
    if group:
        yield group


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
