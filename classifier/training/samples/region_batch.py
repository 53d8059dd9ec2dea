"""Batches of regions on their way from the loader processes to a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.training.augmentation import Distortions, Draws
from classifier.training.samples.region_crops import cut_regions
from classifier.training.samples.sampled_boxes import SampledBoxes
from detection.structures.arrays import Image

UNCOUNTED = -1
"""Label of a region that only fills up a batch when a network is measured, and is not counted."""


class RegionBatch(NamedTuple):
    """N regions, each in a small picture of its own, see `region_crops`.

    `images` uint8 [N, h, w, 3]; `boxes` [N, 4] xyxy in pixels of these pictures; `labels` [N], outputs of the network;
    `targets` [N, 4] as in `SampledBoxes`; `distortions` of the N regions; `files` names the images
    in messages; it is one text because Lightning looks into every part of a batch at each step.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    targets: Tensor
    distortions: Distortions
    files: str

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a batch for its way out of a loader process.

        Each tensor costs a connection to the process that made it, so all but the images travel as NumPy arrays.
        """
        images, boxes, labels, targets, (mirrored, interpolation, gains, lighting), files = self
        small = (boxes, labels, targets, mirrored, gains, lighting)
        return _received_batch, (images, tuple(tensor.numpy() for tensor in small), interpolation, files)


def _received_batch(
    images: Tensor, small: tuple[NDArray[Any], ...], interpolation: NDArray[np.uint8], files: str
) -> RegionBatch:
    boxes, labels, targets, mirrored, gains, lighting = map(torch.from_numpy, small)
    return RegionBatch(images, boxes, labels, targets, Distortions(mirrored, interpolation, gains, lighting), files)


class RegionSample(NamedTuple):
    """R regions of one image, with the distortions that are drawn for them and the file of the image."""

    image: Image
    regions: SampledBoxes
    distortions: Draws
    path: Path


def uncounted(sample: RegionSample) -> RegionSample:
    """Return the same regions with the label `UNCOUNTED`, to fill up the share of a process."""
    labels = np.full_like(sample.regions.labels, UNCOUNTED)
    return sample._replace(regions=sample.regions._replace(labels=labels))


@dataclass(frozen=True, kw_only=True)
class RegionCollation:
    """Turns samples into a batch of small pictures.

    Args:
        size: side of the network's input, in pixels.
        context: pixels of the input that show the surroundings of a box on each side.
    """

    size: int
    context: int

    def __call__(self, samples: Sequence[RegionSample]) -> RegionBatch:
        images = [sample.image for sample in samples for _ in sample.regions.boxes]
        regions, labels, targets = map(np.concatenate, zip(*(sample.regions for sample in samples), strict=True))
        crops = cut_regions(images, np.stack([regions, targets], axis=1), size=self.size, context=self.context)
        boxes, targets_in_crops = torch.from_numpy(crops.boxes).unbind(1)
        return RegionBatch(
            torch.from_numpy(crops.pixels),
            boxes,
            torch.from_numpy(labels),
            targets_in_crops,
            Distortions.join([sample.distortions for sample in samples]),
            ", ".join(str(sample.path) for sample in samples),
        )
