"""Photographs as a source of background: what is in them besides the classes.

Pictures that show one thing each, such as ImageNet's, teach a classifier background only from what surrounds those
things. A photograph has much else, people first of all, and each of its regions gets the name of the class that it
resembles most unless the classifier has learned that it is none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from classifier.augmentation import Augmentation
from classifier.region_data import ObjectSamples
from detection.contracts import CachedProposals
from detection.datasets import DataSet
from detection.errors import InputError
from detection.ground_truth import GroundTruth


class Backgrounds:
    """Photographs that hold nothing of the classes but in the annotated objects of some categories.

    Args:
        dataset: reader of the photographs.
        split: of it.
        proposals: those of that split, such as a `proposals.cache.CacheFile`.
        share: of the samples of a batch that are of photographs, 0-1.
        none_of_the_classes: categories whose objects are background too; regions that overlap an object of another one
            by an IoU of 0.5 or more are left out, as it may be of the classes.
        every: number of parts that the photographs fall into, each `every`-th belonging to one; so networks can be
            measured on those that they have not seen.
        part: which of these parts is taken, from 0.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        dataset: DataSet,
        *,
        split: str,
        proposals: CachedProposals,
        share: float,
        none_of_the_classes: Sequence[str] = (),
        every: int = 1,
        part: int = 0,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}")
        if not 0 <= part < every:
            raise ValueError(f"part must lie in 0-{every - 1}, got {part}")
        self.dataset = dataset
        self.split = split
        self.proposals = proposals
        self.share = share
        self.none_of_the_classes = none_of_the_classes
        self.every = every
        self.part = part

    def samples(self, *, per_image: int, augmentation: Augmentation, seed: int) -> ObjectSamples:
        """Regions of the photographs, all of them background.

        Raises:
            InputError: naming what cannot be read, a category that the data set lacks, or if there are no photographs
                or not all have proposals.
        """
        for name in self.none_of_the_classes:
            if name not in self.dataset.class_names:
                raise InputError(f"{self.dataset.root}: expected a category '{name}', got none of this name")
        records = self.dataset.read(self.split)[self.part :: self.every]
        if not records:
            raise InputError(f"{self.dataset.root}: expected photographs in split '{self.split}', got none")
        self.proposals.require(records)
        known = [row for row, name in enumerate(self.dataset.class_names) if name in self.none_of_the_classes]
        return ObjectSamples(
            [without_objects(record, known) for record in records],
            per_image=per_image,
            foreground_fraction=0.0,
            proposals=self.proposals,
            augmentation=augmentation,
            seed=seed,
        )


def without_objects(record: GroundTruth, labels: Sequence[int]) -> GroundTruth:
    """A record without its objects of some labels, all others of which are ignored."""
    kept = ~np.isin(record.labels, labels)
    return replace(
        record, boxes=record.boxes[kept], labels=record.labels[kept], ignored=np.ones(int(kept.sum()), np.bool_)
    )
