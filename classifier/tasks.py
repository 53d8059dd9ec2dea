"""What a classifier is trained for: whole images first, then regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import Dataset

from classifier.augmentation import Augmentation
from classifier.region_data import (
    CentralCrops,
    CropSamples,
    GroundTruthRegions,
    ObjectSamples,
    RegionSample,
    RegionSamples,
)
from detection.datasets import DataSet


class Task(ABC):
    """Turns a data set into samples.

    Attributes:
        background: whether the network has an output for background, before those of the C classes.
    """

    background: bool

    @abstractmethod
    def training_samples(self, dataset: DataSet, split: str, *, augmentation: Augmentation, seed: int) -> RegionSamples:
        """Samples drawn at random from a split.

        Raises:
            InputError: if the split cannot be read, or lacks objects of a class.
        """

    @abstractmethod
    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        """Each sample of a split once, undistorted.

        Raises:
            InputError: if the split cannot be read.
        """


class WholeImages(Task):
    """Classes of whole images: the pre-training of GoogLeNet and AlexNet, and of R-CNN's network.

    Args:
        crop_area: share of the image that a training crop takes, from and to (GoogLeNet: 0.08, 1).
        crop_aspect: its width over height, from and to.
        validation_crop: side of the central square that is measured, as a share of the short side.
    """

    background = False

    def __init__(
        self,
        *,
        crop_area: tuple[float, float] = (0.08, 1.0),
        crop_aspect: tuple[float, float] = (3 / 4, 4 / 3),
        validation_crop: float = 224 / 256,
    ) -> None:
        self.crop_area = crop_area
        self.crop_aspect = crop_aspect
        self.validation_crop = validation_crop

    def training_samples(self, dataset: DataSet, split: str, *, augmentation: Augmentation, seed: int) -> RegionSamples:
        images = labelled_images(dataset, split)
        return CropSamples(images, area=self.crop_area, aspect=self.crop_aspect, augmentation=augmentation, seed=seed)

    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        return CentralCrops(labelled_images(dataset, split), share=self.validation_crop)


class Regions(Task):
    """Classes of regions, and background: the fine-tuning of R-CNN.

    Args:
        per_image: regions of an image in a batch.
        foreground_fraction: share of the regions that are foreground, 0-1 (R-CNN: 0.25).
    """

    background = True

    def __init__(self, *, per_image: int = 1, foreground_fraction: float = 0.25) -> None:
        self.per_image = per_image
        self.foreground_fraction = foreground_fraction

    def training_samples(self, dataset: DataSet, split: str, *, augmentation: Augmentation, seed: int) -> RegionSamples:
        return ObjectSamples(
            dataset.read(split),
            per_image=self.per_image,
            foreground_fraction=self.foreground_fraction,
            augmentation=augmentation,
            seed=seed,
        )

    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        return GroundTruthRegions(dataset.read(split))


def labelled_images(dataset: DataSet, split: str) -> Sequence[tuple[Path, int]]:
    """File and class of each image."""
    return [(record.path, int(record.labels[0])) for record in dataset.read(split)]
