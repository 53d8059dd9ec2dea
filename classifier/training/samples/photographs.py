"""Photographs that are annotated with other categories than the classes: what else there is to learn from them.

Pictures that show one thing each, such as ImageNet's, teach a classifier background only from what surrounds those
things, and their classes only as they look in such pictures. A photograph has much else, people first of all, and each
of its regions gets the name of the class that it resembles most unless the classifier has learned that it is none of
them. Where all that it learns of photographs is background, though, it takes whatever looks like one for background;
so it is to be shown the objects in them too, as far as their categories tell what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.training.augmentation import Augmentation
from classifier.training.samples.region_data import ObjectSamples
from detection.datasets import DataSet
from detection.datasets.category_kinds import Kinds, read_kinds
from detection.errors import InputError
from detection.structures.arrays import IntArray
from detection.structures.contracts import CachedProposals
from detection.structures.ground_truth import GroundTruth

NONE = -1
"""In a set of classes: it may be that an object is of none."""

LabelSets = Sequence[frozenset[int]]
"""Sets of classes, each of them by its label, or `NONE`. With C classes, the label C + s says of an object that it is
of one of those of set s."""


class Photographs:
    """Photographs whose objects are of the classes, or of none of them, as far as their categories tell.

    Objects of a category that is itself a class are objects of this class. Of one that has other kinds besides those
    among the classes, as dogs have other breeds, it is known that they are of one of these classes or of none:
    background is as right as they are, and any other class is wrong. The others are background or ignored.

    Args:
        dataset: reader of the photographs.
        split: of it.
        proposals: those of that split, such as a `proposals.cache.CacheFile`.
        share: of the samples of a batch that are of photographs, 0-1.
        classes: file that says which classes are kinds of which category, such as
            `configs/classes/coco_to_tiny_imagenet.tsv`. Without it photographs are background only.
        foreground_fraction: share of their samples that are objects of the classes, 0-1, but for those photographs
            which have none.
        none_of_the_classes: categories whose objects are background too; regions that overlap an object of another one
            by an IoU of 0.5 or more are left out, as it may be of the classes.
        folds: number of parts that the photographs fall into, each `folds`-th belonging to one. With one fold, none is
            held out.
        held_out: the part, from 0, that is left out, to measure on it networks that have not seen it.

    Raises:
        ValueError: if a number is out of range, or foreground is asked for without classes.
    """

    def __init__(
        self,
        dataset: DataSet,
        *,
        split: str,
        proposals: CachedProposals,
        share: float,
        classes: str | None = None,
        foreground_fraction: float = 0.0,
        none_of_the_classes: Sequence[str] = (),
        folds: int = 1,
        held_out: int = 0,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}")
        if not 0 <= foreground_fraction <= 1:
            raise ValueError(f"foreground_fraction must lie in 0-1, got {foreground_fraction}")
        if foreground_fraction and classes is None:
            raise ValueError(f"classes must be given with a foreground_fraction of {foreground_fraction}, got none")
        if not 0 <= held_out < folds:
            raise ValueError(f"held_out must lie in 0-{folds - 1}, got {held_out}")
        self.dataset = dataset
        self.split = split
        self.proposals = proposals
        self.share = share
        self.classes = classes
        self.foreground_fraction = foreground_fraction
        self.none_of_the_classes = none_of_the_classes
        self.folds = folds
        self.held_out = held_out

    def label_sets(self, class_names: Sequence[str]) -> LabelSets:
        """The sets that samples have labels for.

        Raises:
            InputError: naming the file of classes, if it cannot be used.
        """
        return several(self._sets(class_names))

    def samples(
        self, class_names: Sequence[str], *, per_image: int, augmentation: Augmentation, seed: int
    ) -> PhotographSamples:
        """Regions of the photographs, with the labels of the C classes or of their sets.

        Raises:
            InputError: naming what cannot be read, a category that the data set lacks, or if there are no photographs
                or not all have proposals.
        """
        for name in self.none_of_the_classes:
            if name not in self.dataset.class_names:
                raise InputError(f"{self.dataset.root}: expected a category '{name}', got none of this name")
        records = self.dataset.read(self.split)
        kept = [
            record for place, record in enumerate(records) if self.folds == 1 or place % self.folds != self.held_out
        ]
        if not kept:
            raise InputError(f"{self.dataset.root}: expected photographs in split '{self.split}', got none")
        self.proposals.require(kept)
        none = [row for row, name in enumerate(self.dataset.class_names) if name in self.none_of_the_classes]
        labels = self._labels(class_names)
        return PhotographSamples(
            [with_labels(without_objects(record, none), labels) for record in kept],
            all_files=[record.path for record in records],
            per_image=per_image,
            foreground_fraction=self.foreground_fraction,
            proposals=self.proposals,
            augmentation=augmentation,
            seed=seed,
        )

    def _sets(self, class_names: Sequence[str]) -> dict[int, frozenset[int]]:
        """What objects of each category, by its label, may be of."""
        if self.classes is None:
            return {}
        kinds = read_kinds(Path(self.classes), self.dataset.class_names, class_names)
        return {category: set_of(one) for category, one in kinds.items()}

    def _labels(self, class_names: Sequence[str]) -> Mapping[int, int]:
        """From the label of a category to that of its class, or of its set of classes."""
        sets = self._sets(class_names)
        labelled = several(sets)
        return {
            category: len(class_names) + labelled.index(one) if len(one) > 1 else min(one)
            for category, one in sets.items()
        }


def set_of(kinds: Kinds) -> frozenset[int]:
    """What objects of a category with these kinds may be of."""
    return kinds.labels if kinds.complete else kinds.labels | {NONE}


def several(sets: Mapping[int, frozenset[int]]) -> LabelSets:
    """Those of more than one class, or of a class or none, each once and in the order of their labels."""
    return sorted({one for one in sets.values() if len(one) > 1}, key=sorted)


class PhotographSamples(ObjectSamples):
    """`ObjectSamples` that name the photographs held out too, so runs with different folds share their decoded images.

    Args:
        records: the photographs that samples are drawn from.
        all_files: these and the others.
        options: of `ObjectSamples`.
    """

    def __init__(self, records: Sequence[GroundTruth], *, all_files: Sequence[Path], **options: Any) -> None:
        super().__init__(records, **options)
        self.all_files = list(all_files)

    def files(self) -> list[Path]:
        return self.all_files


def without_objects(record: GroundTruth, labels: Sequence[int]) -> GroundTruth:
    """A record without its objects of some labels."""
    kept = ~np.isin(record.labels, labels)
    return replace(record, boxes=record.boxes[kept], labels=record.labels[kept], ignored=record.ignored[kept])


def with_labels(record: GroundTruth, labels: Mapping[int, int]) -> GroundTruth:
    """A record whose objects have other labels; those without one are ignored."""
    known = np.isin(record.labels, list(labels))
    renamed: IntArray = np.array([labels.get(label, label) for label in record.labels.tolist()], np.int64)
    return replace(record, labels=renamed, ignored=record.ignored | ~known)
