"""Training samples: images with the regions that are drawn from them, their labels and what is to be distorted.

`ObjectSamples` draws regions of images with ground truth, as R-CNN does; `region_pools.EvenSamples` draws each object
equally often. `crop_samples.CropSamples` draws crops of whole images. `validation_samples.py` has the samples that a
network is measured with.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from classifier.training.augmentation import NUMBERS, Augmentation
from classifier.training.samples.around_objects import sample_jittered
from classifier.training.samples.from_proposals import sample_proposals
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.sampled_boxes import ObjectLists, SampledBoxes, even_quota, keep_apart
from classifier.training.samples.streams import RandomStream
from detection.datasets.annotated_images import read_annotated_image
from detection.image import read_image
from detection.structures.arrays import BoolArray, Image, IntArray
from detection.structures.contracts import CachedProposals
from detection.structures.ground_truth import GroundTruth, checksum_of
from detection.training.decoded_images import ImageReader
from detection.training.sample_order import RowNumbers, SampleKey


@dataclass(kw_only=True, eq=False)
class Samples(Dataset[RegionSample], ABC):
    """The samples that a training run draws from: `samples[key]` is a function of the seed and the key.

    Args:
        seed: seed of all random draws.
    """

    seed: int

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of records of an epoch."""

    def __getitem__(self, key: SampleKey) -> RegionSample:
        return self.__getitems__([key])[0]

    @abstractmethod
    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        """Return the samples of a batch, which are computed together; `DataLoader` calls this."""

    @abstractmethod
    def files(self) -> list[Path]:
        """Return the files of all images that samples are drawn from, and of images that are decoded with them."""

    @abstractmethod
    def checksum(self) -> int:
        """Return the CRC-32 of what samples are drawn from: the names of the images, their objects or their labels."""

    @abstractmethod
    def read_by(self, reader: ImageReader) -> None:
        """Take the pixels of the images from `reader` from now on, instead of decoding them for each sample."""


@dataclass(kw_only=True, eq=False)
class RegionSamples(Samples):
    """Regions of single images.

    A subclass sets `paths`, the files of the images, and draws the regions.

    Args:
        per_image: number R of regions that are drawn from an image.
        augmentation: draws the distortions of the pixels.
        seed: seed of all random draws.
    """

    per_image: int
    augmentation: Augmentation
    paths: Sequence[Path] = field(init=False)
    read: ImageReader = field(default_factory=lambda: read_image, init=False)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[Path]:
        return list(self.paths)

    def read_by(self, reader: ImageReader) -> None:
        self.read = reader

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        if not keys:
            return []
        paths = [self.paths[key.record] for key in keys]
        images = [self.image(key.record) for key in keys]
        numbers = RowNumbers(keys, per_sample=self.per_image, seed=self.seed)
        regions = self.draw(keys, np.array([image.shape[:2] for image in images]), numbers)
        draws = self.augmentation.draw(numbers(RandomStream.DISTORTIONS, NUMBERS))
        parts = (slice(start, start + self.per_image) for start in range(0, len(numbers), self.per_image))
        return [
            RegionSample(image, regions.take(part), draws.take(part), path)
            for image, part, path in zip(images, parts, paths, strict=True)
        ]

    def image(self, record: int) -> Image:
        """Return the pixels of an image; raises an `InputError` that names the file if they cannot be used."""
        return self.read(self.paths[record])

    @abstractmethod
    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:
        """Return `per_image` regions of each image `key.record` in turn; `sizes` [n, (height, width)] are theirs."""


@dataclass(eq=False)
class ObjectSamples(RegionSamples):
    """Regions of images with ground truth, drawn from proposals if there are any, else around the ground truth.

    Ignored objects are neither foreground nor background: no region is drawn that overlaps an ignored object by an IoU
    of 0.5 or more, unless it overlaps another object as foreground.

    Args:
        records: the images with their ground truth.
        per_image: number of regions that are drawn from an image.
        foreground_fraction: share of the regions that are foreground in each batch, 0-1.
        proposals: the proposals of each image, by the `image_id` of the records.
        augmentation: draws the distortions of the pixels.
        seed: seed of all random draws.
        decoded_files: files of the images to decode, among which may be others; None for the images of the records.
    """

    records: Sequence[GroundTruth]
    _: KW_ONLY
    foreground_fraction: float
    proposals: CachedProposals | None
    decoded_files: Sequence[Path] | None = None

    def __post_init__(self) -> None:
        self.paths = [record.path for record in self.records]
        self._objects, self._ignored = (_object_lists(self.records, ignored=ignored) for ignored in (False, True))

    def files(self) -> list[Path]:
        return list(self.decoded_files or self.paths)

    def checksum(self) -> int:
        return checksum_of(self.records)

    def image(self, record: int) -> Image:
        return read_annotated_image(self.records[record], self.read)

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
        # An image whose objects are all ignored may have neither objects nor proposals left to draw from.
        regions = self._jittered(records, sizes, foreground, numbers)
        rows = np.repeat(usable, self.per_image)
        regions.boxes[rows], regions.labels[rows], regions.targets[rows] = sample_proposals(
            objects.take(np.flatnonzero(usable)),
            boxes,
            counts[usable],
            foreground=foreground[usable],
            numbers=numbers.take(np.flatnonzero(rows)),
        )
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


def _object_lists(records: Sequence[GroundTruth], *, ignored: bool) -> ObjectLists:
    rows = [record.ignored == ignored for record in records]
    return ObjectLists(
        [record.boxes[kept] for record, kept in zip(records, rows, strict=True)],
        [record.labels[kept] for record, kept in zip(records, rows, strict=True)],
    )
