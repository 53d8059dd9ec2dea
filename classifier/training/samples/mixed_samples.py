"""Training samples of two sources in one order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.region_data import Samples
from classifier.training.samples.sampling import even_quota
from detection.training.decoded_images import ImageReader
from detection.training.sample_order import SampleKey


class MixedSamples(Samples):
    """Samples of objects, and in the place of a share of them samples of other images, each of these in turn.

    They are spread so evenly that any n positions in a row hold `share` * n of the others, rounded up or down.

    Args:
        objects: what the classes are learned from, and the records of an epoch.
        others: what takes their places.
        share: of the positions, 0-1.
    """

    def __init__(self, objects: Samples, others: Samples, *, share: float) -> None:
        super().__init__(seed=objects.seed)
        self.objects = objects
        self.others = others
        self.share = share

    def __len__(self) -> int:
        return len(self.objects)

    def files(self) -> list[Path]:
        return [*self.objects.files(), *self.others.files()]

    def read_by(self, reader: ImageReader) -> None:
        self.objects.read_by(reader)
        self.others.read_by(reader)

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        positions = np.array([key.position for key in keys])
        before = np.floor(positions * self.share).astype(np.int64).tolist()  # so many of the others
        chosen = even_quota(positions, self.share).tolist()
        others = [  # a record further in each round, or a share of foreground would always fall to the same ones
            key._replace(position=count, record=(count + count // len(self.others)) % len(self.others))
            for key, count, other in zip(keys, before, chosen, strict=True)
            if other
        ]
        objects = [  # both at consecutive positions, which share out foreground and background
            key._replace(position=key.position - count)
            for key, count, other in zip(keys, before, chosen, strict=True)
            if not other
        ]
        drawn = (iter(self.objects.__getitems__(objects)), iter(self.others.__getitems__(others)))
        return [next(drawn[other]) for other in chosen]
