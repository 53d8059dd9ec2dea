"""Batches of images and labelled regions for training a region classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from classifier.sampling import sample_regions
from classifier.warp import MEAN_RGB
from detection.ground_truth import GroundTruth
from detection.image import read_image


class RegionSample(NamedTuple):
    """Regions of one image: `image` uint8 [H, W, 3], `boxes` [R, 4] xyxy, `labels` [R] with 0 for background."""

    image: Tensor
    boxes: Tensor
    labels: Tensor


class RegionBatch(NamedTuple):
    """Regions of B images: `images` uint8 [B, H, W, 3], `boxes` [B, R, 4] xyxy, `labels` [B, R]."""

    images: Tensor
    boxes: Tensor
    labels: Tensor


class SampledRegions(Dataset[RegionSample]):
    """Regions drawn anew at each access, for training.

    Draws come from PyTorch's random state, so the seed of the run and of each loader process decides them.

    Args:
        records: the images with their ground truth.
        count: regions an image.
        foreground_fraction: probability that a region is foreground.
    """

    def __init__(self, records: Sequence[GroundTruth], *, count: int, foreground_fraction: float) -> None:
        self.records = records
        self.count = count
        self.foreground_fraction = foreground_fraction

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> RegionSample:
        record = self.records[index]
        image = read_image(record.path)
        generator = np.random.default_rng(int(torch.randint(2**62, ())))
        boxes, labels = sample_regions(
            record.boxes,
            record.labels,
            image.shape[:2],
            count=self.count,
            foreground_fraction=self.foreground_fraction,
            generator=generator,
        )
        return RegionSample(torch.from_numpy(image), torch.from_numpy(boxes), torch.from_numpy(labels))


class GroundTruthRegions(Dataset[RegionSample]):
    """Every ground truth as one region, for validation."""

    def __init__(self, records: Sequence[GroundTruth]) -> None:
        self.records = records
        self.objects = [(image, index) for image, record in enumerate(records) for index in range(len(record.boxes))]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> RegionSample:
        image, box = self.objects[index]
        record = self.records[image]
        boxes = torch.from_numpy(record.boxes[box : box + 1])
        labels = torch.from_numpy(record.labels[box : box + 1] + 1)
        return RegionSample(torch.from_numpy(read_image(record.path)), boxes, labels)


def collate_regions(samples: Sequence[RegionSample]) -> RegionBatch:
    """One batch of samples with the same number of regions; smaller images are filled up with the mean colour.

    The mean is also what `warp_regions` takes the outside of an image to be.
    """
    height, width = (max(sample.image.shape[axis] for sample in samples) for axis in (0, 1))
    images = torch.empty((len(samples), height, width, 3), dtype=torch.uint8)
    images[:] = torch.tensor(MEAN_RGB).round().to(torch.uint8)
    for target, sample in zip(images, samples, strict=True):
        target[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
    boxes = torch.stack([sample.boxes for sample in samples])
    return RegionBatch(images, boxes, torch.stack([sample.labels for sample in samples]))
