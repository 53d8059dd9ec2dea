"""Training samples from photographs that are annotated with other categories than the classes.

A data set such as ImageNet shows one object in each picture. A classifier that is trained on it learns background only
from the surroundings of these objects, and so gives every region of a photograph, people above all, the name of the
class that it resembles most. Regions of photographs teach it what is none of its classes. If all of them were
background, however, it would take every region that looks like a photograph for background. So the photographs also
teach it the objects of its classes, as far as the categories of the photographs tell which objects these are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np

from classifier.training.augmentation import Augmentation
from classifier.training.samples.region_samples import ObjectSamples
from detection.configuration import find_config
from detection.datasets import DataSet
from detection.datasets.annotated_images import require_stated_sizes
from detection.datasets.category_kinds import read_kinds
from detection.errors import InputError
from detection.structures.arrays import IntArray
from detection.structures.contracts import CachedProposals
from detection.structures.ground_truth import GroundTruth

NONE = -1
"""Stands in a set of classes for the case that an object belongs to none of the classes."""

LabelSets = Sequence[frozenset[int]]
"""Sets of classes, each class by its label, or `NONE`. With C classes, an object with the label C + s belongs to one of
the classes in set s."""


@dataclass(eq=False)
class Photographs:
    """Photographs whose objects belong to the classes or to none of them, as far as their categories tell.

    An object of a category that is itself a class belongs to this class. A category may also have kinds that are not
    among the classes, as dogs have other breeds: its objects belong to one of certain classes or to none, so background
    is right for them, and every other class is wrong. Other objects are background or ignored.

    Args:
        dataset: reader of the photographs.
        split: name of the split of the data set.
        proposals: proposals of that split, such as a `proposals.cache.CacheFile`.
        share: share of the samples of a batch that come from photographs, 0-1.
        classes: file that says which classes are kinds of which category, such as
            `configs/classes/coco_to_tiny_imagenet.tsv`; without it, all samples of photographs are background.
        foreground_fraction: share of the samples of photographs that are objects of the classes, 0-1.
        none_of_the_classes: categories whose objects are background. Regions that overlap an object of any other
            category by an IoU of 0.5 or more are left out, because the object may belong to a class.
        folds: number of parts into which the photographs are divided, in turn. With one fold, none is held out.
        held_out: number of the part, from 0, that is left out; networks that have not seen it can be measured on it.

    Raises:
        ValueError: if a number is out of range, or if foreground is wanted without classes.
    """

    dataset: DataSet
    _: KW_ONLY
    split: str
    proposals: CachedProposals
    share: float
    classes: str | None = None
    foreground_fraction: float = 0.0
    none_of_the_classes: Sequence[str] = ()
    folds: int = 1
    held_out: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {self.share}")
        if not 0 <= self.foreground_fraction <= 1:
            raise ValueError(f"foreground_fraction must lie in 0-1, got {self.foreground_fraction}")
        if self.foreground_fraction and self.classes is None:
            wanted = f"a foreground_fraction of {self.foreground_fraction}"
            raise ValueError(f"classes must be given with {wanted}, got none")
        if not 0 <= self.held_out < self.folds:
            raise ValueError(f"held_out must lie in 0-{self.folds - 1}, got {self.held_out}")

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:
        """Return the sets of several classes that the labels of samples stand for, each once, in the order of labels.

        Raises:
            InputError: naming the file of classes, if it cannot be used.
        """
        sets = self._possible_classes(class_names).values()
        return sorted({classes for classes in sets if len(classes) > 1}, key=sorted)

    def samples(
        self, class_names: Sequence[str], *, per_image: int, augmentation: Augmentation, seed: int
    ) -> ObjectSamples:
        """Return regions of the photographs, with the labels of the C classes or of the sets of classes.

        Raises:
            InputError: naming what cannot be read, or a category that the data set lacks; or if there are no
                photographs, or if one has no proposals.
        """
        for name in self.none_of_the_classes:
            if name not in self.dataset.class_names:
                raise InputError(f"{self.dataset.root}: expected a category '{name}', got none of this name")
        records = self.dataset.read(self.split)
        one_fold = self.folds == 1
        kept = [record for index, record in enumerate(records) if one_fold or index % self.folds != self.held_out]
        if not kept:
            raise InputError(f"{self.dataset.root}: expected photographs in split '{self.split}', got none")
        require_stated_sizes(kept)
        self.proposals.require(kept)
        background = [row for row, name in enumerate(self.dataset.class_names) if name in self.none_of_the_classes]
        labels = self._labels(class_names)
        return ObjectSamples(
            [with_labels(without_objects(record, background), labels) for record in kept],
            per_image=per_image,
            foreground_fraction=self.foreground_fraction,
            proposals=self.proposals,
            augmentation=augmentation,
            seed=seed,
            decoded_files=[record.path for record in records],  # of all folds, so that runs can share the pixels
        )

    def _possible_classes(self, class_names: Sequence[str]) -> dict[int, frozenset[int]]:
        """Return the classes, or `NONE`, that objects of each category may belong to, by the category's label."""
        if self.classes is None:
            return {}
        kinds = read_kinds(find_config(self.classes), self.dataset.class_names, class_names)
        return {category: kind.labels if kind.complete else kind.labels | {NONE} for category, kind in kinds.items()}

    def _labels(self, class_names: Sequence[str]) -> dict[int, int]:
        """Return the label of the class, or of the set of classes, of each category by the category's label."""
        sets = self.label_sets(class_names)
        return {
            category: len(class_names) + sets.index(classes) if len(classes) > 1 else min(classes)
            for category, classes in self._possible_classes(class_names).items()
        }


def without_objects(record: GroundTruth, labels: Sequence[int]) -> GroundTruth:
    """Return a record without its objects of the given labels."""
    kept = ~np.isin(record.labels, labels)
    return replace(record, boxes=record.boxes[kept], labels=record.labels[kept], ignored=record.ignored[kept])


def with_labels(record: GroundTruth, labels: Mapping[int, int]) -> GroundTruth:
    """Return a record whose objects have the labels that `labels` maps theirs to; objects without one are ignored."""
    known = np.isin(record.labels, list(labels))
    renamed: IntArray = np.array([labels.get(label, label) for label in record.labels.tolist()], np.int64)
    return replace(record, labels=renamed, ignored=record.ignored | ~known)
