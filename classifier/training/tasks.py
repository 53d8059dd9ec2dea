"""The tasks that a classifier is trained for: `WholeImages` for pre-training, `Regions` for detection.

A task turns a data set into samples; the kinds of samples are in `classifier.training.samples`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from classifier.training.augmentation import Augmentation
from classifier.training.samples.crop_samples import CropSamples
from classifier.training.samples.mixed_samples import MixedSamples
from classifier.training.samples.photographs import LabelSets, Photographs
from classifier.training.samples.rare_classes import repeat_rare
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.region_pools import EvenSamples
from classifier.training.samples.region_samples import ObjectSamples, Samples
from classifier.training.samples.validation_samples import CentralCrops, GroundTruthRegions
from detection.datasets import DataSet
from detection.datasets.annotated_images import require_stated_sizes
from detection.errors import InputError
from detection.structures.contracts import CachedProposals
from detection.structures.ranges import require_range


class Task(ABC):
    """Turns a data set into samples.

    Attributes:
        background: True if the network has an output for background, before the outputs of the C classes.
    """

    background: bool

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:  # noqa: ARG002
        """Return the sets of classes that labels of training samples may stand for; by default there are none.

        Raises:
            InputError: naming the file that cannot be used.
        """
        return ()

    @abstractmethod
    def training_samples(
        self, dataset: DataSet, split: str, *, proposals: CachedProposals | None, augmentation: Augmentation, seed: int
    ) -> Samples:
        """Return samples that are drawn at random; regions come from `proposals`, or else from around the ground truth.

        Raises:
            InputError: if the split cannot be read or lacks objects of a class, if the proposals of an image are
                missing, or if the task has no use for proposals.
        """

    @abstractmethod
    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        """Return each sample of a split once, undistorted.

        Raises:
            InputError: if the split cannot be read.
        """


@dataclass(kw_only=True, eq=False)
class WholeImages(Task):
    """Learn the classes of whole images: the pre-training of GoogLeNet, of AlexNet and of R-CNN's network.

    Args:
        crop_area: smallest and largest share of the image that a training crop takes (GoogLeNet: 0.08 and 1).
        crop_aspect: smallest and largest ratio of the crop's width to its height.
        central_square: take crops from the central square of the image, as AlexNet does.
        validation_crop: side of the central square that is measured, as a share of the image's short side.
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    central_square: bool = False
    validation_crop: float = 224 / 256

    background = False

    def __post_init__(self) -> None:
        (least, most), (narrow, wide) = self.crop_area, self.crop_aspect
        require_range(0.0001, 1, validation_crop=self.validation_crop)
        require_range(0.0001, most, **{"crop_area[0]": least})
        require_range(least, 1, **{"crop_area[1]": most})
        require_range(0.01, wide, **{"crop_aspect[0]": narrow})
        require_range(narrow, 100, **{"crop_aspect[1]": wide})

    def training_samples(
        self, dataset: DataSet, split: str, *, proposals: CachedProposals | None, augmentation: Augmentation, seed: int
    ) -> Samples:
        if proposals is not None:
            raise InputError("proposals: expected a task with regions, got one with whole images")
        images = dataset.read_labels(split)
        require_all_classes((image.label for image in images), dataset, f"split '{split}'")
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


@dataclass(kw_only=True, eq=False)
class Regions(Task):
    """Learn the classes of regions, and background: the fine-tuning of R-CNN.

    Args:
        per_image: number of regions that are drawn from an image for a batch.
        foreground_fraction: share of the regions of the data set's images that are foreground, 0-1 (R-CNN: 0.25).
        photographs: photographs with other categories than the classes, whose regions take a share of the batch.
        even_objects: draw all objects of an image equally often, however many proposals they have, and half of the
            background near objects (`classifier.training.samples.region_pools`); this needs proposals.
        rare_share: images with a class that fewer than this share of the images have come more often in an epoch
            (`classifier.training.samples.rare_classes`); with 0, each image comes once.
    """

    per_image: int = 1
    foreground_fraction: float = 0.25
    photographs: Photographs | None = None
    even_objects: bool = False
    rare_share: float = 0.0

    background = True

    def __post_init__(self) -> None:
        require_range(1, 10_000, per_image=self.per_image)
        require_range(0, 1, foreground_fraction=self.foreground_fraction, rare_share=self.rare_share)

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:
        return () if self.photographs is None else self.photographs.label_sets(class_names)

    def training_samples(
        self, dataset: DataSet, split: str, *, proposals: CachedProposals | None, augmentation: Augmentation, seed: int
    ) -> Samples:
        records = dataset.read(split)
        require_stated_sizes(records)
        labels = (label for record in records for label in record.labels[~record.ignored].tolist())
        require_all_classes(labels, dataset, f"split '{split}'")
        if proposals is not None:
            proposals.require(records)
        elif self.even_objects:
            raise InputError("even_objects: expected --proposals, the file that detect-propose writes, got none")
        kind: type[ObjectSamples] = EvenSamples if self.even_objects else ObjectSamples
        objects = kind(
            repeat_rare(records, share=self.rare_share),
            per_image=self.per_image,
            foreground_fraction=self.foreground_fraction,
            proposals=proposals,
            augmentation=augmentation,
            seed=seed,
            decoded_files=[record.path for record in records],  # each once, also those of images that are repeated
        )
        if self.photographs is None:
            return objects
        others = self.photographs.samples(
            dataset.class_names, per_image=self.per_image, augmentation=augmentation, seed=seed
        )
        return MixedSamples(objects, others, share=self.photographs.share)

    def validation_samples(self, dataset: DataSet, split: str) -> Dataset[RegionSample]:
        records = dataset.read(split)
        require_stated_sizes(records)
        return GroundTruthRegions(records)


def require_all_classes(labels: Iterable[int], dataset: DataSet, where: str) -> None:
    """Check that there is an object of every class to learn from.

    Raises:
        InputError: naming the classes that `labels` lack, and `where` they were expected, such as "split 'train'".
    """
    present = set(labels)
    missing = [name for label, name in enumerate(dataset.class_names) if label not in present]
    if missing:
        raise InputError(
            f"{dataset.root}: expected objects of every class in {where}, got none of {', '.join(missing)}"
        )
