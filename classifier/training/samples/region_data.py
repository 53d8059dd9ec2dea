"""Samples for training and measuring a classifier: images with regions, labels and what to distort."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from classifier.training.augmentation import NUMBERS, Augmentation, no_distortions
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.sampling import (
    ObjectLists,
    SampledBoxes,
    even_quota,
    keep_apart,
    sample_crop,
    sample_jittered,
    sample_proposals,
)
from detection.datasets import LabelledImage
from detection.image import read_image
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.contracts import CachedProposals
from detection.structures.ground_truth import GroundTruth
from detection.training.decoded_images import ImageReader
from detection.training.sample_order import RowNumbers, SampleKey

DISTORTIONS = 100
"""Stream of random numbers, beside those of `classifier.training.samples.sampling`."""


class Samples(Dataset[RegionSample], ABC):
    """What a training run draws from: `samples[key]` is a function of the seed and the key.

    Args:
        seed: of all draws.
    """

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    @abstractmethod
    def __len__(self) -> int:
        """The number of records that an epoch goes through."""

    def __getitem__(self, key: SampleKey) -> RegionSample:
        return self.__getitems__([key])[0]

    @abstractmethod
    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        """Several samples, as `DataLoader` asks for them; what a batch needs is computed together."""

    @abstractmethod
    def files(self) -> list[Path]:
        """All images that samples are drawn from, and maybe others of their data set."""

    @abstractmethod
    def read_by(self, reader: ImageReader) -> None:
        """Let `reader` give the pixels of a file from now on; before, it is decoded each time."""


class RegionSamples(Samples):
    """Regions of one image after the other.

    Args:
        count: number of images.
        per_image: regions R of each.
        augmentation: draws what is changed in the pixels.
        seed: of all draws.
    """

    def __init__(self, count: int, *, per_image: int, augmentation: Augmentation, seed: int) -> None:
        super().__init__(seed=seed)
        self.count = count
        self.per_image = per_image
        self.augmentation = augmentation
        self.read: ImageReader = read_image

    def __len__(self) -> int:
        return self.count

    def files(self) -> list[Path]:
        return [self.path(index) for index in range(self.count)]

    def read_by(self, reader: ImageReader) -> None:
        self.read = reader

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        if not keys:
            return []
        paths = [self.path(key.record) for key in keys]
        images = [self.read(path) for path in paths]
        numbers = RowNumbers(keys, per_sample=self.per_image, seed=self.seed)
        regions = self.draw(keys, np.array([image.shape[:2] for image in images]), numbers)
        draws = self.augmentation.draw(numbers(DISTORTIONS, NUMBERS))
        parts = (slice(start, start + self.per_image) for start in range(0, len(numbers), self.per_image))
        return [
            RegionSample(image, regions.part(part), draws.part(part), path)
            for image, part, path in zip(images, parts, paths, strict=True)
        ]

    @abstractmethod
    def path(self, index: int) -> Path:
        """File of an image."""

    @abstractmethod
    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:
        """Regions of the images `key.record`, which have `sizes` [n, (height, width)], `per_image` of each in turn."""


class CropSamples(RegionSamples):
    """One random crop of each whole image, as GoogLeNet and AlexNet are pre-trained; labels are the C classes.

    Args:
        images: file and class of each.
        area: share of the image that a crop takes, from and to.
        aspect: width over height of a crop, from and to.
        central_square: whether crops are taken from the central square of the image, which `area` then refers to.
        augmentation: draws what is changed in the pixels.
        seed: of all draws.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        *,
        area: tuple[float, float],
        aspect: tuple[float, float],
        central_square: bool = False,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__(len(images), per_image=1, augmentation=augmentation, seed=seed)
        self.images = images
        self.area = area
        self.aspect = aspect
        self.central_square = central_square

    def path(self, index: int) -> Path:
        return self.images[index].path

    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:  # noqa: ARG002
        crops = np.stack([self._crop(*pair) for pair in zip(keys, sizes.tolist(), strict=True)])
        return SampledBoxes(crops, np.array([self.images[key.record].label for key in keys], np.int64), crops)

    def _crop(self, key: SampleKey, size: tuple[int, int]) -> FloatArray:
        height, width = size
        side = min(size)
        available = (side, side) if self.central_square else (height, width)
        crop = sample_crop(available, area=self.area, aspect=self.aspect, generator=key.generator(self.seed))
        if self.central_square:
            crop += np.array([width - side, height - side] * 2, np.float32) / 2
        return crop


class ObjectSamples(RegionSamples):
    """Regions of images with ground truth: from proposals where there are any, else jittered ground truth.

    Ignored objects are neither foreground nor background: no region is drawn that overlaps one by an IoU of 0.5, unless
    it overlaps another object as foreground.

    Args:
        records: the images with their ground truth.
        per_image: regions of each.
        foreground_fraction: share of the regions that are foreground, 0-1, in each batch.
        proposals: those of each image, by the `image_id` of the records.
        augmentation: draws what is changed in the pixels.
        seed: of all draws.
    """

    def __init__(
        self,
        records: Sequence[GroundTruth],
        *,
        per_image: int,
        foreground_fraction: float,
        proposals: CachedProposals | None = None,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__(len(records), per_image=per_image, augmentation=augmentation, seed=seed)
        self.records = records
        self.foreground_fraction = foreground_fraction
        self.proposals = proposals
        counted = [~record.ignored for record in records]
        self._objects = ObjectLists(
            [record.boxes[rows] for record, rows in zip(records, counted, strict=True)],
            [record.labels[rows] for record, rows in zip(records, counted, strict=True)],
        )
        self._ignored = ObjectLists(
            [record.boxes[record.ignored] for record in records], [record.labels[record.ignored] for record in records]
        )

    def path(self, index: int) -> Path:
        return self.records[index].path

    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:
        records = np.array([key.record for key in keys])
        places = np.array([key.position for key in keys])[:, None] * self.per_image + np.arange(self.per_image)
        foreground = even_quota(places, self.foreground_fraction)  # [n, R]
        if self.proposals is None:
            return self._jittered(records, sizes, foreground, numbers)
        boxes, counts = self.proposals.boxes_of([self.records[record].image_id for record in records.tolist()])
        limits = np.repeat(sizes[:, [1, 0, 1, 0]], counts, axis=0).astype(np.float32)
        boxes, counts = keep_apart(self._ignored[records], np.clip(boxes, 0, limits), counts)
        objects = self._objects[records]
        usable = objects.counts + counts > 0
        if usable.all():
            return sample_proposals(objects, boxes, counts, foreground=foreground, numbers=numbers)
        # An image with nothing but ignored objects may have nothing to draw from.
        regions = self._jittered(records, sizes, foreground, numbers)
        rows = np.repeat(usable, self.per_image)
        some = sample_proposals(
            objects.of_rows(np.flatnonzero(usable)),
            boxes,
            counts[usable],
            foreground=foreground[usable],
            numbers=numbers.of_rows(np.flatnonzero(rows)),
        )
        regions.boxes[rows], regions.labels[rows], regions.targets[rows] = some
        return regions

    def _jittered(self, records: IntArray, sizes: IntArray, foreground: BoolArray, numbers: RowNumbers) -> SampledBoxes:
        images = np.repeat(records, self.per_image)
        return sample_jittered(
            self._objects[images],
            np.repeat(sizes, self.per_image, axis=0),
            ignored=self._ignored[images],
            foreground=foreground.ravel(),
            numbers=numbers,
        )


class GroundTruthRegions(Dataset[RegionSample]):
    """Every ground truth that is not ignored as one region, undistorted, for measuring a region classifier."""

    def __init__(self, records: Sequence[GroundTruth]) -> None:
        self.records = records
        self.objects = [
            (image, index) for image, record in enumerate(records) for index in np.flatnonzero(~record.ignored).tolist()
        ]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> RegionSample:
        image, box = self.objects[index]
        record = self.records[image]
        boxes = record.boxes[box : box + 1]
        regions = SampledBoxes(boxes, record.labels[box : box + 1] + 1, boxes)
        return RegionSample(read_image(record.path), regions, no_distortions(1), record.path)


class CentralCrops(Dataset[RegionSample]):
    """The central square of each whole image, undistorted: the single crop by which classifiers are compared.

    Args:
        images: file and class of each.
        share: side of the square as a share of the image's short side, 0-1; 224 / 256 in the papers.
    """

    def __init__(self, images: Sequence[LabelledImage], *, share: float) -> None:
        self.images = images
        self.share = share

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> RegionSample:
        path, label = self.images[index]
        image = read_image(path)
        height, width = image.shape[:2]
        half = self.share * min(height, width) / 2
        box = np.array([[width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]], np.float32)
        return RegionSample(image, SampledBoxes(box, np.array([label], np.int64), box), no_distortions(1), path)
