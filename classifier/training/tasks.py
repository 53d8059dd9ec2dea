"""What a classifier is trained for: whole images first, then regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch.utils.data import Dataset

from classifier.training.augmentation import Augmentation
from classifier.training.samples.mixed_samples import MixedSamples
from classifier.training.samples.photographs import LabelSets, Photographs
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.region_data import (
    CentralCrops,
    CropSamples,
    GroundTruthRegions,
    ObjectSamples,
    Samples,
)
from detection.datasets import DataSet
from detection.errors import InputError
from detection.structures.contracts import CachedProposals


class Task(ABC):
    """Turns a data set into samples.

    Attributes:
        background: whether the network has an output for background, before those of the C classes.
    """

    background: bool

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:  # noqa: ARG002
        """The sets of classes that labels of training samples may stand for, by default none.

        Raises:
            InputError: naming the file that cannot be used.
        """
        return ()

    @abstractmethod
    def training_samples(
        self,
        dataset: DataSet,
        split: str,
        *,
        proposals: CachedProposals | None = None,
        augmentation: Augmentation,
        seed: int,
    ) -> Samples:
        """Samples drawn at random from a split; regions from `proposals`, or else around the ground truth.

        Raises:
            InputError: if the split cannot be read or lacks objects of a class, the proposals of an image are missing,
                or the task has no use for proposals.
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
        central_square: whether crops are taken from the central square, as AlexNet's.
        validation_crop: side of the central square that is measured, as a share of the short side.
    """

    background = False

    def __init__(
        self,
        *,
        crop_area: tuple[float, float] = (0.08, 1.0),
        crop_aspect: tuple[float, float] = (3 / 4, 4 / 3),
        central_square: bool = False,
        validation_crop: float = 224 / 256,
    ) -> None:
        self.crop_area = crop_area
        self.crop_aspect = crop_aspect
        self.central_square = central_square
        self.validation_crop = validation_crop

    def training_samples(
        self,
        dataset: DataSet,
        split: str,
        *,
        proposals: CachedProposals | None = None,
        augmentation: Augmentation,
        seed: int,
    ) -> Samples:
        if proposals is not None:
            raise InputError("proposals: expected a task with regions, got one with whole images")
        images = dataset.read_labels(split)
        require_all_classes((image.label for image in images), dataset, split)
        return CropSamples(
            images,
            area=self.crop_area,
            aspect=self.crop_aspect,
            central_square=self.central_square,
            augmentation=augmentation,
            seed=seed,
        )

    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        return CentralCrops(dataset.read_labels(split), share=self.validation_crop)


class Regions(Task):
    """Classes of regions, and background: the fine-tuning of R-CNN.

    Args:
        per_image: regions of an image in a batch.
        foreground_fraction: share of the regions that are foreground, 0-1 (R-CNN: 0.25), of images of the data set.
        photographs: of other categories, whose regions take the places of some in training.
    """

    background = True

    def __init__(
        self, *, per_image: int = 1, foreground_fraction: float = 0.25, photographs: Photographs | None = None
    ) -> None:
        self.per_image = per_image
        self.foreground_fraction = foreground_fraction
        self.photographs = photographs

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:
        return () if self.photographs is None else self.photographs.label_sets(class_names)

    def training_samples(
        self,
        dataset: DataSet,
        split: str,
        *,
        proposals: CachedProposals | None = None,
        augmentation: Augmentation,
        seed: int,
    ) -> Samples:
        records = dataset.read(split)
        labels = (label for record in records for label in record.labels[~record.ignored].tolist())
        require_all_classes(labels, dataset, split)
        if proposals is not None:
            proposals.require(records)
        objects = ObjectSamples(
            records,
            per_image=self.per_image,
            foreground_fraction=self.foreground_fraction,
            proposals=proposals,
            augmentation=augmentation,
            seed=seed,
        )
        if self.photographs is None:
            return objects
        others = self.photographs.samples(
            dataset.class_names, per_image=self.per_image, augmentation=augmentation, seed=seed
        )
        return MixedSamples(objects, others, share=self.photographs.share)

    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        return GroundTruthRegions(dataset.read(split))


def require_all_classes(labels: Iterable[int], dataset: DataSet, split: str) -> None:
    """See whether there is something to learn each class from.

    Raises:
        InputError: naming the classes that `labels` lack.
    """
    present = set(labels)
    missing = [name for label, name in enumerate(dataset.class_names) if label not in present]
    if missing:
        raise InputError(
            f"{dataset.root}: expected objects of every class in split '{split}', got none of {', '.join(missing)}"
        )
