"""Batches of regions on their way from the loaders to a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.training.augmentation import Distortions, Draws
from classifier.training.samples.region_crops import cut_chips
from classifier.training.samples.sampling import SampledBoxes
from detection.structures.arrays import Image
from detection.training.sample_files import file_names

UNCOUNTED = -1
"""Label of a region that only fills up a batch for measuring."""


class RegionBatch(NamedTuple):
    """N regions, each in a small picture of its own (`classifier.training.samples.region_crops`).

    `images` uint8 [N, h, w, 3]; `boxes` [N, 4] xyxy in pixels of these; `labels` [N], outputs of the network; `targets`
    [N, 4] as in `SampledBoxes`; `distortions` of N regions; `files` names the images, for messages.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    targets: Tensor
    distortions: Distortions
    files: str

    def __reduce__(self) -> tuple[Any, ...]:
        """For loader processes: each tensor costs a connection to the one that made it, so only the images are one."""
        images, boxes, labels, targets, (mirrored, interpolation, gains, lighting), files = self
        small = (boxes, labels, targets, mirrored, gains, lighting)
        return _received_batch, (images, tuple(tensor.numpy() for tensor in small), interpolation, files)


def _received_batch(
    images: Tensor, small: tuple[NDArray[Any], ...], interpolation: NDArray[np.uint8], files: str
) -> RegionBatch:
    boxes, labels, targets, mirrored, gains, lighting = map(torch.from_numpy, small)
    return RegionBatch(images, boxes, labels, targets, Distortions(mirrored, interpolation, gains, lighting), files)


class RegionSample(NamedTuple):
    """R regions of one image."""

    image: Image
    regions: SampledBoxes
    distortions: Draws
    path: Path


def uncounted(sample: RegionSample) -> RegionSample:
    """The same regions with the label `UNCOUNTED`, to fill up the share of a process."""
    labels = np.full_like(sample.regions.labels, UNCOUNTED)
    return sample._replace(regions=sample.regions._replace(labels=labels))


class RegionCollation:
    """Turns samples into a batch of chips.

    Args:
        size: side of the network's input, in pixels.
        context: pixels of the input that show the surroundings of a box on each side.
    """

    def __init__(self, *, size: int, context: int) -> None:
        self.size = size
        self.context = context

    def __call__(self, samples: Sequence[RegionSample]) -> RegionBatch:
        images = [sample.image for sample in samples for _ in sample.regions.boxes]
        regions, labels, targets = map(np.concatenate, zip(*(sample.regions for sample in samples), strict=True))
        chips = cut_chips(images, np.stack([regions, targets], axis=1), size=self.size, context=self.context)
        boxes, targets_in_chips = torch.from_numpy(chips.boxes).unbind(1)
        return RegionBatch(
            torch.from_numpy(chips.pixels),
            boxes,
            torch.from_numpy(labels),
            targets_in_chips,
            Distortions.of([sample.distortions for sample in samples]),
            file_names(sample.path for sample in samples),
        )
